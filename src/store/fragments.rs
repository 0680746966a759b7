//! Columns in plain SQL, for expressions that the query builder does not support. A connection caches their statements,
//! because their text is always the same.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Jsonb, Nullable, Text, Uuid};

use crate::domain::id::SubscriptionId;

/// The lines, ordered by certificate type. The condition follows.
macro_rules! lines_where {
    ($condition:literal) => {
        concat!(
            "(SELECT coalesce(jsonb_agg(jsonb_build_array(certificate_type, current, renewal, used, low_threshold) ",
            "ORDER BY certificate_type), '[]') FROM inventory_lines WHERE ",
            $condition
        )
    };
}

/// Declares a column that is computed from the row of a subscription.
macro_rules! of_subscription {
    ($(#[$doc:meta])* $name:ident -> $type:ty, $sql:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, QueryId)]
        pub(super) struct $name;

        impl Expression for $name {
            type SqlType = $type;
        }

        impl<Tables> AppearsOnTable<Tables> for $name {}

        impl<Tables> SelectableExpression<Tables> for $name {}

        impl ValidGrouping<()> for $name {
            type IsAggregate = is_aggregate::Never;
        }

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }
    };
}

/// The lines of the subscription with this id, in the format of [`LinesOfSubscription`]. The id is compared in every
/// table, so that each is read by its index.
#[derive(Debug, Clone, Copy, QueryId, ValidGrouping)]
pub(super) struct LinesOf(pub(super) SubscriptionId);

impl Expression for LinesOf {
    type SqlType = Jsonb;
}

impl<Tables> AppearsOnTable<Tables> for LinesOf {}

impl<Tables> SelectableExpression<Tables> for LinesOf {}

impl QueryFragment<Pg> for LinesOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(lines_where!("subscription_id = "));
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

of_subscription! {
    /// The lines, ordered by certificate type: an array of `LineJson`.
    LinesOfSubscription -> Jsonb,
    lines_where!("inventory_lines.subscription_id = subscriptions.id)")
}

of_subscription! {
    /// The cost of the current term so far, in minor units, as text. PostgreSQL sums bigints to a numeric, which cannot
    /// overflow. Null if there are no costs.
    CostOfSubscription -> Nullable<Text>,
    "(SELECT sum(amount)::text FROM charges WHERE charges.subscription_id = subscriptions.id \
      AND status <> 'voided' AND due_date >= subscriptions.start_date AND due_date < subscriptions.end_date)"
}
