// Why a code was issued, and where it stands, in words: pure.

import type { CodeState, Reason } from "./api.ts";
import { count, days } from "./format.ts";
import type { Shape } from "./stages.ts";

/** `premium, bought 3× in 28 d, cover 21 d` */
export function reasonText({ tier, orders, habit_days, on_hand, cover_days }: Reason): string {
  const stock =
    cover_days !== null ? `cover ${days(cover_days)} d`
    : on_hand !== null ? `${count(on_hand)} on hand, no sales`
    : null;
  return [tier, `bought ${count(orders)}× in ${count(habit_days)} d`, stock].filter((part) => part !== null).join(", ");
}

const CAUSES: Record<NonNullable<Reason["cause"]>, string> = {
  stock: "a change of the stock level",
  order: "an order",
  tier: "a change of the customer's tier",
  rule: "an edit of the rule",
  time: "the passing of time: no single change",
};

export function causeText(cause: Reason["cause"]): string {
  return cause === null ? "not recorded" : CAUSES[cause];
}

export const STATE_SHAPES: Record<CodeState, Shape> = {
  issued: "ring",
  dispatched: "half",
  redeemed: "disc",
  expired: "cross",
  withdrawn: "cross",
};
