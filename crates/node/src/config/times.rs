//! Times of the week, as people write them: `mon-fri 09:00-17:00`, `sat,sun 00:00-24:00`,
//! `daily 22:00-06:00`. Which time it is now is not known here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const ALL_DAYS: u8 = 0b111_1111;

/// A span of the day, on some days of the week. One that ends before it begins ends on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    days: u8,
    begin: u16,
    end: u16,
}

impl Default for Times {
    /// Every day from nine to five.
    fn default() -> Self {
        Self { days: ALL_DAYS, begin: 9 * 60, end: 17 * 60 }
    }
}

impl Times {
    /// The days are bits, the lowest Sunday; the times minutes after midnight. `None` if there is
    /// no such day or minute.
    #[must_use]
    pub fn new(days: u8, begin: u16, end: u16) -> Option<Self> {
        let good = days <= ALL_DAYS && begin < DAY && end <= DAY;
        good.then_some(Self { days, begin, end })
    }

    /// Bits of the days, the lowest Sunday.
    #[must_use]
    pub const fn days(&self) -> u8 {
        self.days
    }

    /// Minutes after midnight at which it begins.
    #[must_use]
    pub const fn begin(&self) -> u16 {
        self.begin
    }

    /// Minutes after midnight at which it ends.
    #[must_use]
    pub const fn end(&self) -> u16 {
        self.end
    }

    /// Whether `minute` of `day`, which counts from Sunday, is in it.
    #[must_use]
    pub fn contains(&self, day: u8, minute: u16) -> bool {
        let on = |day: u8| self.days >> (day % 7) & 1 == 1;
        if self.begin < self.end {
            on(day) && (self.begin..self.end).contains(&minute)
        } else {
            (on(day) && minute >= self.begin) || (on(day + 6) && minute < self.end)
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == ALL_DAYS {
            f.write_str("daily")?;
        } else {
            let days = DAYS.iter().enumerate().filter(|(day, _)| self.days >> day & 1 == 1);
            let names: Vec<&str> = days.map(|(_, name)| *name).collect();
            f.write_str(if names.is_empty() { "never" } else { "" })?;
            f.write_str(&names.join(","))?;
        }
        let (begin, end) = (self.begin, self.end);
        write!(f, " {:02}:{:02}-{:02}:{:02}", begin / 60, begin % 60, end / 60, end % 60)
    }
}

fn days_of(text: &str) -> Option<u8> {
    match text {
        "daily" => return Some(ALL_DAYS),
        "never" => return Some(0),
        _ => {}
    }
    let day = |name: &str| DAYS.iter().position(|known| *known == name);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % DAYS.len();
        }
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
}

impl FromStr for Times {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let text = text.trim().to_ascii_lowercase();
            let (days, span) = text.split_once(' ')?;
            let (begin, end) = span.trim().split_once('-')?;
            Self::new(days_of(days)?, minute_of(begin)?, minute_of(end)?)
        };
        parse().ok_or_else(|| format!("`{text}` is not a time such as mon-fri 09:00-17:00"))
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, written) in [
            ("daily 09:00-17:00", "daily 09:00-17:00"),
            ("Mon-Fri 9:00-17:30", "mon,tue,wed,thu,fri 09:00-17:30"),
            ("fri-mon 22:00-06:00", "sun,mon,fri,sat 22:00-06:00"),
            ("sat,sun 00:00-24:00", "sun,sat 00:00-24:00"),
            ("never 00:00-00:00", "never 00:00-00:00"),
        ] {
            let times: Times = text.parse().expect(text);
            assert_eq!(times.to_string(), written);
            assert_eq!(written.parse(), Ok(times));
        }
        for text in [
            "",
            "daily",
            "someday 09:00-10:00",
            "daily 25:00-26:00",
            "daily 09:60-10:00",
            "daily 24:00-01:00",
            "mon- 09:00-10:00",
            "daily 9-17",
        ] {
            assert!(text.parse::<Times>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night: Times = "fri 22:00-06:00".parse().expect("good");
        for (day, minute, inside) in [
            (5, 21 * 60 + 59, false),
            (5, 22 * 60, true),
            (6, 0, true),
            (6, 5 * 60 + 59, true),
            (6, 6 * 60, false),
            (5, 5 * 60, false),
            (6, 23 * 60, false),
        ] {
            assert_eq!(night.contains(day, minute), inside, "{day} {minute}");
        }
        let saturday: Times = "sat 00:00-24:00".parse().expect("good");
        assert!(saturday.contains(6, 0) && saturday.contains(6, 1439) && !saturday.contains(0, 0));
        let all: Times = "sat 22:00-22:00".parse().expect("good");
        assert!(all.contains(6, 1439) && all.contains(0, 60) && !all.contains(6, 60));
    }
}
