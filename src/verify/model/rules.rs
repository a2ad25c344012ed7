//! Rules at one minute T: the stock side of each pair, and the tuples that meet every condition.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::stock::Pair;
use super::{HOUR_US, Model};

/// What eligibility needs of a row of `promotion_rule`; times and windows in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `rule_id`
    pub id: i64,
    /// `tier`
    pub tier: String,
    /// `habit_orders`
    pub habit_orders: i64,
    /// `habit_window`
    pub habit_window_us: i64,
    /// `demand_window`
    pub demand_window_us: i64,
    /// `days_of_cover_min`
    pub days_of_cover_min: i64,
    /// `on_hand_min`
    pub on_hand_min: i64,
    /// `enabled`
    pub enabled: bool,
    /// `starts_at`, `i64::MIN` for `-infinity`
    pub starts_us: i64,
    /// `ends_at`, `i64::MAX` for `infinity`
    pub ends_us: i64,
}

impl Rule {
    /// Whether the rule is enabled and T within its dates.
    pub fn runs_at(&self, minute_us: i64) -> bool {
        self.enabled && self.starts_us <= minute_us && minute_us < self.ends_us
    }
}

/// The stock side of one rule for one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The level, `None` when absent.
    pub on_hand: Option<i32>,
    /// Units sold in the demand window.
    pub units: i64,
    /// Hours that the demand was observed for.
    pub hours: i64,
    /// Whether stock is present, above the minimum and above the days of cover.
    pub holds: bool,
}

/// Rule, customer, store, product.
pub type Eligible = [i64; 4];

/// Sales and habits grouped once, to evaluate many rules and minutes.
#[derive(Debug)]
pub struct Shop<'a> {
    model: &'a Model,
    /// Hours and units of each pair, from `sales_hourly`.
    sales: HashMap<Pair, BTreeMap<i64, i64>>,
    /// `placed_at` of each tuple's uncancelled orders.
    habits: BTreeMap<[i64; 3], Vec<i64>>,
}

impl<'a> Shop<'a> {
    /// Groups the model's orders.
    pub fn new(model: &'a Model) -> Self {
        let mut sales: HashMap<Pair, BTreeMap<i64, i64>> = HashMap::new();
        let mut habits: BTreeMap<[i64; 3], Vec<i64>> = BTreeMap::new();
        for (order, counted) in model
            .orders
            .counted()
            .filter(|(order, _)| order.uncancelled())
        {
            let hour = counted.placed_us.div_euclid(HOUR_US) * HOUR_US;
            let pair = [counted.store, counted.product];
            *sales.entry(pair).or_default().entry(hour).or_default() += counted.units;
            if let Some(customer) = order.customer {
                let tuple = [customer, counted.store, counted.product];
                habits.entry(tuple).or_default().push(counted.placed_us);
            }
        }
        Shop {
            model,
            sales,
            habits,
        }
    }

    /// Every pair with a level now.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.model
            .stock
            .levels()
            .filter(|(_, level, _)| level.row.is_some())
            .map(|(pair, ..)| *pair)
    }

    /// The stock side of a rule for a pair at T.
    pub fn condition(&self, rule: &Rule, pair: Pair, minute_us: i64) -> Condition {
        let this_hour = minute_us.div_euclid(HOUR_US) * HOUR_US;
        let window_hours = rule.demand_window_us / HOUR_US;
        let since = this_hour.saturating_sub(rule.demand_window_us);
        let sales = self.sales.get(&pair);
        let units: i64 = sales
            .into_iter()
            .flat_map(|sales| sales.range(since..))
            .map(|(_, u)| u)
            .sum();
        let first = sales.and_then(|sales| sales.iter().find(|(_, units)| **units > 0));
        let hours = first.map_or(window_hours, |(first, _)| {
            ((this_hour - first) / HOUR_US).max(24).min(window_hours)
        });
        let on_hand = self.model.stock.level(pair);
        let demand = 24 * i128::from(rule.days_of_cover_min) * i128::from(units);
        let holds = on_hand.is_some_and(|level| {
            i64::from(level) >= rule.on_hand_min && i128::from(level) * i128::from(hours) >= demand
        });
        Condition {
            on_hand,
            units,
            hours,
            holds,
        }
    }

    /// Every tuple that is eligible under one of the rules at T.
    pub fn eligible(&self, rules: &[Rule], minute_us: i64) -> BTreeSet<Eligible> {
        let mut eligible = BTreeSet::new();
        for rule in rules.iter().filter(|rule| rule.runs_at(minute_us)) {
            let mut holds: HashMap<Pair, bool> = HashMap::new();
            let since = minute_us.saturating_sub(rule.habit_window_us);
            for (&[customer, store, product], placed) in &self.habits {
                let recent = placed.iter().filter(|placed| **placed > since).count();
                if i64::try_from(recent).is_ok_and(|recent| recent >= rule.habit_orders)
                    && self.model.customers.has_tier(customer, &rule.tier)
                    && *holds
                        .entry([store, product])
                        .or_insert_with(|| self.condition(rule, [store, product], minute_us).holds)
                {
                    eligible.insert([rule.id, customer, store, product]);
                }
            }
        }
        eligible
    }
}
