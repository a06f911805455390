//! What can be uploaded, and the tables that are made for it.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Conversations that began, as Metrica's automatic goal Chat.
    Chats,
    /// Conversions (won deals, say) as goals of the visit they grew from.
    OfflineConversions,
    /// Deals as orders, with their status and income: sent again whenever they change.
    SimpleOrders,
    /// Costs of advertising, but those of Yandex Direct, which Metrica has.
    Expenses,
}

impl Kind {
    pub fn what(self) -> &'static str {
        match self {
            Self::Chats => "chats",
            Self::OfflineConversions => "offline conversions",
            Self::SimpleOrders => "orders",
            Self::Expenses => "costs",
        }
    }

    /// The table that is made when the user names none.
    pub fn table(self) -> &'static str {
        match self {
            Self::Chats => "metrica_chats",
            Self::OfflineConversions => "metrica_conversions",
            Self::SimpleOrders => "metrica_orders",
            Self::Expenses => "metrica_expenses",
        }
    }

    pub fn sql(self) -> &'static str {
        match self {
            Self::Chats => include_str!("chats.sql"),
            Self::OfflineConversions => include_str!("conversions.sql"),
            Self::SimpleOrders => include_str!("orders.sql"),
            Self::Expenses => include_str!("expenses.sql"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Identifier {
    /// Metrica's number of the browser.
    #[default]
    ClientId,
    /// Your own number of the user, as the site tells it to the counter.
    UserId,
    /// The click on an ad of Yandex Direct.
    Yclid,
    /// The purchase's number, as the site tells it to the counter.
    PurchaseId,
}

impl Identifier {
    /// The column of our table.
    pub fn column(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::UserId => "user_id",
            Self::Yclid => "yclid",
            Self::PurchaseId => "purchase_id",
        }
    }

    /// Metrica's column.
    pub fn theirs(self) -> &'static str {
        match self {
            Self::ClientId => "ClientId",
            Self::UserId => "UserId",
            Self::Yclid => "Yclid",
            Self::PurchaseId => "PurchaseId",
        }
    }
}
