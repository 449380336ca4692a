//! Whether shapes are worth a try: traffic that never looks alike must not pay for it.

/// Events between two looks at how many had a known shape.
const TRIAL: u32 = 256;
/// Fewer hits than one in so many, and nothing is tried for a while.
const LEAST_HITS_ONE_IN: u32 = 4;
/// Events of the first pause; each one after another trial in vain is twice as long, up to the
/// longest. A trial costs about half a full reading more per event, so that traffic without shapes
/// pays 1/32 in the beginning and less than 1/256 in the long run.
const FIRST_PAUSE: u32 = 1 << 12;
const LONGEST_PAUSE: u32 = 1 << 16;
/// Misses between two lessons, when the one before was in vain or a known shape has to go for a new one.
const MISSES_PER_LESSON: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct Trust {
    /// Events of this trial, and how many of them had a known shape.
    tried: u32,
    hits: u32,
    /// How many events the pause lasts that is under way; 0: none is.
    asleep: u32,
    /// The length of the pause before, if the trial since then is in vain.
    pause: u32,
    misses_until_lesson: u32,
    is_never: bool,
}

impl Trust {
    /// Nothing is ever tried.
    pub fn never() -> Self {
        Self { is_never: true, ..Self::default() }
    }

    pub fn is_never(&self) -> bool {
        self.is_never
    }

    /// To be asked once per event: whether it shall be tried.
    pub fn take_turn(&mut self) -> bool {
        let is_awake = !self.is_asleep();
        self.asleep = self.asleep.saturating_sub(1);
        is_awake
    }

    pub fn is_asleep(&self) -> bool {
        self.asleep > 0 || self.is_never
    }

    pub fn note_hit(&mut self) {
        self.hits += 1;
        self.note_tried();
    }

    /// Whether the event's shape shall be learned.
    pub fn note_miss(&mut self) -> bool {
        self.note_tried();
        let is_lesson = self.misses_until_lesson == 0;
        self.misses_until_lesson = if is_lesson { MISSES_PER_LESSON } else { self.misses_until_lesson - 1 };
        is_lesson
    }

    /// There is room for more shapes: the next miss is a lesson.
    pub fn want_lesson(&mut self) {
        self.misses_until_lesson = 0;
    }

    /// By itself for a try in vain that nothing can be learned from.
    pub fn note_tried(&mut self) {
        self.tried += 1;
        if self.tried < TRIAL {
            return;
        }
        if self.hits * LEAST_HITS_ONE_IN < self.tried {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.asleep = self.pause;
        } else {
            self.pause = 0;
        }
        (self.tried, self.hits) = (0, 0);
    }
}
