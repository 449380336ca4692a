/// What is in a field's place.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<T> {
    /// Nothing, or null.
    Absent,
    Found(T),
    /// Something else than the field wants.
    Wrong,
    /// More than one.
    Twice,
}

impl<T> Field<T> {
    pub fn then<U>(self, read: impl FnOnce(T) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Found(value) => read(value).map_or(Field::Wrong, Field::Found),
            Self::Wrong => Field::Wrong,
            Self::Twice => Field::Twice,
        }
    }

    pub fn is_twice(&self) -> bool {
        matches!(self, Self::Twice)
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Absent, Self::Found)
    }
}
