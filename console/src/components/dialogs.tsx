// The two small dialogs: the list of keys, and the key that changes rules.

import { useState } from "preact/hooks";
import { Dialog } from "./dialog.tsx";

const KEYS: [string, string][] = [
  ["?", "this list"],
  ["m", "go to the heat map; arrows, Home and End move the cell"],
  ["1  2  3", "range: 1 h, 24 h, 7 d"],
  ["c", "go to the newest code; Enter opens its why"],
  ["e", "go to the rules; in a row Enter saves, Escape cancels"],
  ["b", "go to the topics"],
  ["z", "times in UTC or in this browser's zone"],
  ["t", "dark or light"],
  ["k", "the key that changes rules"],
  ["Esc", "close what is open"],
];

export function HelpDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog id="keys" title="Keys" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              {key.split("  ").map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p class="foot">The chosen cell, the range and the topic are in the address: send it, and a colleague sees the same.</p>
    </Dialog>
  );
}

interface KeyDialogProps {
  /** Why it is asked for; null when the person opened it. */
  reason: string | null;
  held: boolean;
  onKey: (key: string | null) => void;
  onClose: () => void;
}

export function KeyDialog({ reason, held, onKey, onClose }: KeyDialogProps) {
  const [text, setText] = useState("");
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (text.trim() !== "") onKey(text.trim());
  };
  return (
    <Dialog id="key-dialog" title="Key" onClose={onClose}>
      <p>{reason ?? "Everything here can be read without a key. One with the scope rules:write changes rules."}</p>
      <form onSubmit={submit}>
        <label class="key-label">
          key
          <input
            type="password"
            placeholder=" "
            name="key"
            autocomplete="off"
            spellcheck={false}
            autoFocus
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <div class="buttons">
          <button type="submit" class="primary">
            use this key
          </button>
          {held && (
            <button type="button" class="quiet" onClick={() => onKey(null)}>
              forget the one held
            </button>
          )}
        </div>
      </form>
      <p class="foot">
        It is kept in this tab only, and gone when the tab is closed. To make one:{" "}
        <code>tidewater keys create --name NAME --scope rules:write</code>
      </p>
    </Dialog>
  );
}
