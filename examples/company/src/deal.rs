//! One deal in the CRM: when it was made, how it moved, how it ended, and how it looks at a given moment.

use crate::config::Config;
use crate::rng::{For, Rng};

/// A status of a pipeline: amoCRM's 142 and 143 mean won and lost in every pipeline.
pub const WON: u32 = 142;
pub const LOST: u32 = 143;

pub struct Pipeline {
    pub id: u32,
    pub name: &'static str,
    /// unsorted, new, in work, offer
    pub steps: [(u32, &'static str, &'static str); 4],
}

pub const PIPELINES: &[Pipeline] = &[
    Pipeline {
        id: 8_100_001,
        name: "Продажи",
        steps: [
            (60_100_001, "Неразобранное", "#c1c1c1"),
            (60_100_002, "Новая заявка", "#99ccff"),
            (60_100_003, "В работе", "#ffff99"),
            (60_100_004, "Предложение отправлено", "#ffcc66"),
        ],
    },
    Pipeline {
        id: 8_100_002,
        name: "Корпоративные",
        steps: [
            (60_200_001, "Неразобранное", "#c1c1c1"),
            (60_200_002, "Запрос", "#99ccff"),
            (60_200_003, "Переговоры", "#ffff99"),
            (60_200_004, "Договор", "#ffcc66"),
        ],
    },
];

pub const FIRST_USER: u32 = 9_500_001;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Status { from: u32, to: u32 },
    Price { from: u32, to: u32 },
    Deleted,
}

#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub at: i64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub struct Deal {
    pub created: i64,
    /// Number of the inquiry in the person's story; none for walk-ins and history.
    pub inquiry: Option<u8>,
    /// Number of the person's CRM contact.
    pub contact: u8,
    pub operator: u8,
    pub pipeline: u8,
    pub loss_reason: u8,
    /// Which custom fields are filled: 0 none (most), 1 text, 2 select, 3 both and tracking data.
    pub fields: u8,
    pub changes: Vec<Change>,
}

/// The deal as the CRM shows it at some moment.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub status: u32,
    pub price: u32,
    pub updated: i64,
    pub closed: Option<i64>,
    pub deleted: bool,
    /// Made a change last: 0 is the robot.
    pub updated_by: u32,
}

impl Deal {
    pub fn user(&self) -> u32 {
        FIRST_USER + u32::from(self.operator)
    }

    pub fn pipeline(&self) -> &'static Pipeline {
        &PIPELINES[usize::from(self.pipeline) % PIPELINES.len()]
    }

    pub fn view(&self, now: i64) -> View {
        let mut v = View {
            status: self.pipeline().steps[1].0,
            price: 0,
            updated: self.created,
            closed: None,
            deleted: false,
            updated_by: 0,
        };
        for c in self.changes.iter().take_while(|c| c.at <= now) {
            v.updated = c.at;
            v.updated_by = self.user();
            match c.what {
                What::Status { to, .. } => {
                    v.status = to;
                    v.closed = (to == WON || to == LOST).then_some(c.at);
                }
                What::Price { to, .. } => v.price = to,
                What::Deleted => v.deleted = true,
            }
        }
        v
    }

    pub fn deleted_at(&self) -> Option<i64> {
        self.changes.iter().find(|c| c.what == What::Deleted).map(|c| c.at)
    }

    pub fn won_at(&self) -> Option<i64> {
        self.changes.iter().rev().find(|c| matches!(c.what, What::Status { to: WON, .. })).map(|c| c.at)
    }
}

/// A deal that follows from an inquiry or a walk-in.
pub fn deal(r: &mut Rng, created: i64, inquiry: Option<u8>, contact: u8) -> Deal {
    let pipeline = u8::from(r.permille(80));
    let steps = PIPELINES[usize::from(pipeline)].steps;
    let mut at = created;
    let mut changes = Vec::with_capacity(6);
    let price = 2_900 + 100 * r.range(0, 400) as u32 + if pipeline == 1 { 60_000 } else { 0 };
    let fate = r.weighted(&[300, 430, 10, 245, 15]); // won, lost, lost then won, open, deleted
    let depth = match fate {
        3 => r.below(3),
        4 => 0,
        _ => 2,
    };
    if depth >= 1 {
        at += r.range(300, 4 * 3600);
        changes.push(Change { at, what: What::Status { from: steps[1].0, to: steps[2].0 } });
    }
    if depth >= 2 {
        at += r.range(7200, 2 * 86_400);
        changes.push(Change { at, what: What::Price { from: 0, to: price } });
        at += r.range(1, 60);
        changes.push(Change { at, what: What::Status { from: steps[2].0, to: steps[3].0 } });
    }
    let mut status = if depth >= 2 { steps[3].0 } else { steps[1].0 };
    let mut close = |at: i64, to: u32, changes: &mut Vec<Change>| {
        changes.push(Change { at, what: What::Status { from: status, to } });
        status = to;
    };
    match fate {
        0 => close(at + r.range(3600, 12 * 86_400), WON, &mut changes),
        1 => close(at + r.range(3600, 12 * 86_400), LOST, &mut changes),
        2 => {
            let lost = at + r.range(3600, 3 * 86_400);
            close(lost, LOST, &mut changes);
            let back = lost + r.range(3600, 3 * 86_400);
            close(back, steps[2].0, &mut changes);
            close(back + r.range(3600, 5 * 86_400), WON, &mut changes);
        }
        4 => changes.push(Change { at: created + r.range(600, 2 * 86_400), what: What::Deleted }),
        _ => {}
    }
    Deal {
        created,
        inquiry,
        contact,
        operator: r.below(crate::words::OPERATORS.len() as u64) as u8,
        pipeline,
        loss_reason: r.below(crate::words::LOSS_REASONS.len() as u64) as u8,
        fields: if r.permille(700) { 0 } else { 1 + r.below(3) as u8 },
        changes,
    }
}

/// History contact of history lead `i`: two deals each.
pub fn history_contact(i: u64) -> u64 {
    i / 2
}

/// Deal `i` of the year before: closed, and old enough never to change again.
pub fn history_deal(cfg: &Config, i: u64) -> Deal {
    const YEAR: i64 = 365 * 86_400;
    let mut r = cfg.rng(For::History, i, 1);
    let count = i64::from(cfg.history.max(1));
    let created = cfg.start_at() - YEAR - 20 * 86_400 + (i as i64) * YEAR / count;
    let new = PIPELINES[0].steps[1].0;
    let price = 1_000 + 50 * r.range(0, 900) as u32;
    let t1 = created + r.range(600, 86_400);
    let t2 = t1 + r.range(3600, 10 * 86_400);
    let to = if r.permille(380) { WON } else { LOST };
    Deal {
        created,
        inquiry: None,
        contact: 0,
        operator: r.below(crate::words::OPERATORS.len() as u64) as u8,
        pipeline: 0,
        loss_reason: r.below(crate::words::LOSS_REASONS.len() as u64) as u8,
        fields: if r.permille(850) { 0 } else { 1 + r.below(3) as u8 },
        changes: vec![
            Change { at: t1, what: What::Price { from: 0, to: price } },
            Change { at: t2, what: What::Status { from: new, to } },
        ],
    }
}
