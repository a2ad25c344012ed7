//! Which order redeems each code, and why the others that carry one do not: from the orders of the topics
//! and the codes of the ledger.

use std::collections::HashMap;

use tokio_postgres::{Client, Row};

use super::Error;
use super::model::{Model, Order};
use super::report::{Comparison, DifferenceKind, Findings};
use super::rows::{Differing, Layout, Pass, query, repairing};

/// A code of the ledger, with what it says of its redemption.
struct Code {
    promotion_id: String,
    code: String,
    /// Customer, store and product.
    tuple: [i64; 3],
    state: String,
    valid_until_us: i64,
    redeemed: Option<Redemption>,
}

/// The order that redeems a code, and when it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Redemption {
    order_id: i64,
    placed_us: i64,
}

/// Why an order redeems nothing.
struct Refusal {
    code: String,
    promotion_id: Option<String>,
    reason: &'static str,
}

impl Code {
    fn of(row: &Row) -> Code {
        let order_id: Option<i64> = row.get(7);
        let placed_us: Option<i64> = row.get(8);
        Code {
            promotion_id: row.get(0),
            code: row.get(1),
            tuple: [row.get(2), row.get(3), row.get(4)],
            state: row.get(5),
            valid_until_us: row.get(6),
            redeemed: order_id
                .zip(placed_us)
                .map(|(order_id, placed_us)| Redemption {
                    order_id,
                    placed_us,
                }),
        }
    }

    /// When the order was placed, if it might redeem the code; else why it cannot.
    fn accept(&self, order: &Order) -> Result<i64, &'static str> {
        let [customer, store, product] = self.tuple;
        if self.state == "withdrawn" {
            return Err("unknown");
        }
        if order.customer != Some(customer) {
            return Err("other_customer");
        }
        if order.store != Some(store) {
            return Err("other_store");
        }
        if order.product != Some(product) {
            return Err("other_product");
        }
        if !order.uncancelled() {
            return Err("cancelled");
        }
        match order.placed_us() {
            None => Err("undated"),
            Some(placed) if placed > self.valid_until_us => Err("expired"),
            Some(placed) => Ok(placed),
        }
    }
}

const REFUSALS: Layout<1> = Layout {
    table: "promotion_refusal",
    key: [("order_id", "order_id")],
    columns: &[
        ("promotion_code", "promotion_code"),
        ("promotion_id", "promotion_id"),
        ("reason", "reason"),
    ],
};

/// The name that redemptions have in the report: they are columns of the ledger.
pub(super) const REDEMPTIONS: &str = "promotion (redemption)";

/// Compares redemptions and `promotion_refusal`.
pub(super) async fn verify(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    let codes = codes(pass.sink).await?;
    let (redeemed, refused) = expected(&codes, model);
    redemptions(&codes, &redeemed, pass.findings);
    refusals(pass, refused).await
}

/// Compares or mends `promotion_refusal` alone.
pub(super) async fn only_refusals(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    let codes = codes(pass.sink).await?;
    let (_, refused) = expected(&codes, model);
    refusals(pass, refused).await
}

/// Mends `promotion_refusal`. Whoever settles a code has its row in the ledger locked, and so has this.
pub(super) async fn mend(
    pass: &mut Pass<'_>,
    model: &Model,
    differing: &Differing,
) -> Result<(), Error> {
    const LOCK: &str = "
        select from promotion where code = any($1::text[])
        or code in (select promotion_code from promotion_refusal where order_id = any($2::bigint[]))
        order by promotion_id for no key update";
    let ids: Vec<i64> = differing
        .of(REFUSALS.table)
        .filter_map(|key| key.first().copied())
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let carried: Vec<&str> = model
        .orders
        .present()
        .filter(|(id, _)| ids.contains(id))
        .filter_map(|(_, order)| order.promotion_code.as_deref())
        .collect();
    pass.sink
        .query(LOCK, &[&carried, &ids])
        .await
        .map_err(repairing("locking codes"))?;
    only_refusals(pass, model).await
}

async fn codes(sink: &Client) -> Result<Vec<Code>, Error> {
    let sql = "
        select promotion_id::text, code, customer_id, store_id, product_id, state,
               (extract(epoch from valid_until) * 1000000)::bigint,
               redeemed_order_id, (extract(epoch from redeemed_at) * 1000000)::bigint
        from promotion";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("reading the ledger"))?;
    Ok(rows.iter().map(Code::of).collect())
}

type Redeemed<'a> = HashMap<&'a str, Redemption>;
type Refused = HashMap<[i64; 1], Refusal>;

fn expected<'a>(codes: &'a [Code], model: &Model) -> (Redeemed<'a>, Refused) {
    let ledger: HashMap<&str, &Code> = codes
        .iter()
        .map(|code| (code.code.as_str(), code))
        .collect();
    let mut accepted: HashMap<&str, Vec<Redemption>> = HashMap::new();
    let mut refused = Refused::new();
    for (order_id, order) in model.orders.present() {
        let Some(carried) = &order.promotion_code else {
            continue;
        };
        let code = ledger.get(carried.as_str()).copied();
        let verdict = code.map_or(Err("unknown"), |code| code.accept(order));
        match (verdict, code) {
            (Ok(placed_us), Some(code)) => {
                accepted.entry(&code.code).or_default().push(Redemption {
                    order_id: *order_id,
                    placed_us,
                });
            }
            (Ok(_), None) => {}
            (Err(reason), code) => {
                let refusal = Refusal {
                    code: carried.clone(),
                    promotion_id: code.map(|code| code.promotion_id.clone()),
                    reason,
                };
                refused.insert([*order_id], refusal);
            }
        }
    }
    let mut redeemed = Redeemed::new();
    for (text, mut orders) in accepted {
        orders.sort_by_key(|order| (order.placed_us, order.order_id));
        let mut orders = orders.into_iter();
        redeemed.extend(orders.next().map(|first| (text, first)));
        for order in orders {
            let refusal = Refusal {
                code: text.to_owned(),
                promotion_id: ledger.get(text).map(|code| code.promotion_id.clone()),
                reason: "used",
            };
            refused.insert([order.order_id], refusal);
        }
    }
    (redeemed, refused)
}

fn redemptions(codes: &[Code], redeemed: &Redeemed<'_>, findings: &mut Findings) {
    findings.begin(REDEMPTIONS, Comparison::TopicsAndSink);
    let shown = |redemption: Option<&Redemption>, state: &str| {
        let order = redemption.map_or("null".to_owned(), |one| one.order_id.to_string());
        Some(format!("redeemed_order_id={order}, state={state}"))
    };
    for code in codes {
        findings.row();
        let expected = redeemed.get(code.code.as_str());
        let right_state = (code.state == "redeemed") == expected.is_some();
        if right_state && expected == code.redeemed.as_ref() {
            continue;
        }
        findings.differs(DifferenceKind::Unequal, |difference| {
            let state = if expected.is_some() {
                "redeemed"
            } else {
                "not redeemed"
            };
            difference.key = format!("promotion_id={}", code.promotion_id);
            difference.expected = shown(expected, state);
            difference.found = shown(code.redeemed.as_ref(), &code.state);
        });
    }
}

async fn refusals(pass: &mut Pass<'_>, refused: Refused) -> Result<(), Error> {
    let values = |refusal: &Refusal| {
        vec![
            Some(refusal.code.clone()),
            refusal.promotion_id.clone(),
            Some(refusal.reason.to_owned()),
        ]
    };
    pass.table(&REFUSALS, refused, values, values).await
}
