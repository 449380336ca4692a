/// Which containers are open, one bit each: nothing is allocated for the first 64.
#[derive(Default)]
pub(super) struct Nesting {
    depth: usize,
    /// The innermost containers, the last one in bit 0; a set bit is an object.
    innermost: u64,
    /// Full words of those further out.
    outer: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

const PER_WORD: usize = 64;

impl Nesting {
    pub fn push(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(PER_WORD) {
            self.outer.push(self.innermost);
            self.innermost = 0;
        }
        self.innermost = self.innermost << 1 | u64::from(container == Container::Object);
        self.depth += 1;
    }

    pub fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.innermost >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(PER_WORD) {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
    }

    pub fn last(&self) -> Option<Container> {
        (self.depth > 0).then_some(if self.innermost & 1 == 1 { Container::Object } else { Container::Array })
    }
}
