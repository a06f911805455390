//! Path transforms: what `path_transforms` says, as steps over the table of paths.

/// One change to the path of a conversion before credit is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Consecutive touches of one channel count once; the first of them stays.
    Exposure,
    /// Nothing changes.
    Unique,
    /// Each channel's first touch stays.
    First,
    /// Each channel's first touch stays. The counts belong to the table of paths; credit is as with
    /// [`Transform::First`].
    Frequency,
    /// Touches of the channel go unless nothing would be left.
    DropUnlessAll(String),
    /// Touches of the channel at the end of the path go unless nothing would be left.
    DropLastUnlessAll(String),
    /// The last so many touches stay.
    LastN(u32),
}

impl Transform {
    /// # Errors
    /// What is wrong with the text, for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(argument) => (name.trim(), Some(argument.trim())),
                None => return Err(format!("`{text}` lacks its closing parenthesis")),
            },
            None => (text, None),
        };
        match (name, argument) {
            ("exposure", None) => Ok(Self::Exposure),
            ("unique", None) => Ok(Self::Unique),
            ("first", None) => Ok(Self::First),
            ("frequency", None) => Ok(Self::Frequency),
            ("drop_unless_all", Some(channel)) if !channel.is_empty() => {
                Ok(Self::DropUnlessAll(channel.to_string()))
            }
            ("drop_last_unless_all", Some(channel)) if !channel.is_empty() => {
                Ok(Self::DropLastUnlessAll(channel.to_string()))
            }
            ("last_n", Some(count)) => match count.parse::<u32>() {
                Ok(n) if n > 0 => Ok(Self::LastN(n)),
                _ => Err(format!("`{text}`: last_n needs a whole number above 0, e.g. last_n(4)")),
            },
            ("drop_unless_all" | "drop_last_unless_all", _) => {
                Err(format!("`{text}` needs a channel, e.g. {name}(direct)"))
            }
            _ => Err(format!(
                "`{text}` is no path transform; there are exposure, unique, first, frequency, \
                 drop_unless_all(CHANNEL), drop_last_unless_all(CHANNEL), last_n(COUNT)"
            )),
        }
    }

    /// Does to a path what the step does to the table of paths. `channel` is the number of the channel that the
    /// transform names; `None`: there is no such channel.
    pub(crate) fn apply(&self, channel: Option<u32>, path: &mut Vec<u32>) {
        let others = |path: &[u32]| path.iter().any(|c| Some(*c) != channel);
        match self {
            Self::Unique => {}
            Self::Exposure => path.dedup(),
            Self::First | Self::Frequency => {
                let mut kept: Vec<u32> = Vec::new();
                path.retain(|channel| {
                    let is_new = !kept.contains(channel);
                    if is_new {
                        kept.push(*channel);
                    }
                    is_new
                });
            }
            Self::DropUnlessAll(_) => {
                if others(path) {
                    path.retain(|c| Some(*c) != channel);
                }
            }
            Self::DropLastUnlessAll(_) => {
                if others(path) {
                    while path.last().is_some_and(|c| Some(*c) == channel) {
                        path.pop();
                    }
                }
            }
            Self::LastN(n) => {
                let drop = path.len().saturating_sub(*n as usize);
                path.drain(..drop);
            }
        }
    }

    /// The step file and the values it takes; `None` when nothing changes.
    pub(crate) fn step(&self) -> Option<(&'static str, String, i64)> {
        let none = String::new();
        match self {
            Self::Unique => None,
            Self::Exposure => Some((include_str!("steps/transform_exposure.sql"), none, 0)),
            Self::First | Self::Frequency => Some((include_str!("steps/transform_first.sql"), none, 0)),
            Self::DropUnlessAll(c) => Some((include_str!("steps/transform_drop.sql"), c.clone(), 0)),
            Self::DropLastUnlessAll(c) => Some((include_str!("steps/transform_drop_last.sql"), c.clone(), 0)),
            Self::LastN(n) => Some((include_str!("steps/transform_last_n.sql"), none, i64::from(*n))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_every_form_and_explains_wrong_ones() {
        assert_eq!(Transform::parse("last_n( 4 )").unwrap(), Transform::LastN(4));
        assert_eq!(
            Transform::parse("drop_unless_all(direct)").unwrap(),
            Transform::DropUnlessAll("direct".into())
        );
        assert!(Transform::parse("drop_unless_all").unwrap_err().contains("needs a channel"));
        assert!(Transform::parse("last_n(0)").unwrap_err().contains("above 0"));
        assert!(Transform::parse("last_n(3").unwrap_err().contains("parenthesis"));
        assert!(Transform::parse("shuffle").unwrap_err().contains("no path transform"));
    }
}
