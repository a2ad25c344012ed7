// WORTH: the arms beside each other, each figure on one scale.

import { memo } from "./memo.ts";
import type { Arm, Worth } from "../api.ts";
import { readWorth } from "../client.ts";
import { count, duration, NONE } from "../format.ts";
import { useAsked } from "../hooks.ts";
import { bars, FIGURES, ordered, type Bar, type Figure } from "../worth.ts";
import { Empty, Loading, Section, Trouble } from "./section.tsx";

/** The server sends this by itself; asked for only until it has. */
export const WorthSection = memo(function WorthSection({ live, generation }: { live: Worth | null; generation: number }) {
  const asked = useAsked({ key: "worth", generation, read: readWorth, everyMs: null });
  const worth = live ?? asked.answer;
  const arms = ordered(worth?.arms ?? []);
  return (
    <Section
      id="worth"
      title="Worth"
      note={worth !== null && worth.half_life_hours !== null && <>half-life of a response {duration(worth.half_life_hours * 3600)}</>}
    >
      {live === null && asked.problem !== null && <Trouble problem={asked.problem} />}
      {worth === null ? (
        asked.problem === null && <Loading text="waiting for the first comparison" />
      ) : arms.length === 0 ? (
        <Empty
          text="What the codes change appears here: batch beside stream beside holdout, once customers have codes."
          command="tidewater rules explain --customer 7 --product 2"
        />
      ) : (
        <Comparison arms={arms} model={worth.model} />
      )}
    </Section>
  );
});

const WAITS_FOR = "not known: the arm has no code that tells it";

function Comparison({ arms, model }: { arms: Arm[]; model: string }) {
  // What no arm knows takes no room.
  const known = FIGURES.filter(({ value }) => arms.some((arm) => value(arm) !== null));
  const missing = known.some(({ value }) => arms.some((arm) => value(arm) === null));
  return (
    <>
      <table class="worth-table">
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">figure</span>
            </th>
            {arms.map((arm) => (
              <th key={arm.arm} scope="col">
                <span class="arm">{arm.arm}</span>{" "}
                <span class="arm-size num">
                  {count(arm.customers)} customers
                </span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {known.map((figure) => (
            <FigureRow key={figure.id} figure={figure} arms={arms} />
          ))}
        </tbody>
      </table>
      <p class="foot model">
        {missing && (
          <>
            {NONE} is {WAITS_FOR}.{" "}
          </>
        )}
        {model}
      </p>
    </>
  );
}

function FigureRow({ figure, arms }: { figure: Figure; arms: Arm[] }) {
  const values = arms.map(figure.value);
  const drawn = bars(values);
  return (
    <tr class={figure.kind} data-figure={figure.id}>
      <th scope="row">
        {figure.label}
        <span class="kind"> {figure.kind}</span>
      </th>
      {arms.map((arm, index) => (
        <td key={arm.arm}>
          <span class="worth-value num" title={values[index] === null ? WAITS_FOR : undefined}>
            {figure.text(values[index] ?? null)}
          </span>
          {arms.length > 1 && <BarOf bar={drawn[index] ?? null} arm={arm.arm} />}
        </td>
      ))}
    </tr>
  );
}

function BarOf({ bar, arm }: { bar: Bar | null; arm: Arm["arm"] }) {
  return (
    <svg class={`worth-bar ${arm}`} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" x2="100" y1="3" y2="3" />
      {bar !== null && bar.length > 0 && (
        <rect x={bar.from * 100} y="0" width={Math.max(bar.length * 100, 0.5)} height="6" />
      )}
    </svg>
  );
}
