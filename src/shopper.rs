//! What shoppers do, as the gateway writes it into the events topic and the retail half reads it.

use serde::Deserialize;

/// What a shopper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Came into a store, or opened it.
    StoreEntered,
    /// Looked at a product.
    ProductViewed,
    /// Put a product into the cart.
    CartAdded,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Kind; 3] = [Kind::StoreEntered, Kind::ProductViewed, Kind::CartAdded];

    /// As an event and `shopper_event.type` have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::StoreEntered => "store_entered",
            Kind::ProductViewed => "product_viewed",
            Kind::CartAdded => "cart_added",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for kind in Kind::ALL {
            let read = serde_json::from_value::<Kind>(kind.name().into());
            assert_eq!(read.unwrap(), kind);
        }
    }
}
