// The page: what is heard, what is chosen, and where the sections stand.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Range } from "./api.ts";
import { formatAddress, parseAddress, type View } from "./address.ts";
import { CodesSection } from "./components/codes.tsx";
import { CoverSection } from "./components/cover-map.tsx";
import { HelpDialog, KeyDialog } from "./components/dialogs.tsx";
import { Header, Lost } from "./components/header.tsx";
import { PipelineSection } from "./components/pipeline.tsx";
import { RulesSection } from "./components/rules.tsx";
import { SeriesSection } from "./components/series.tsx";
import { TopicsSection } from "./components/topics.tsx";
import { WhyDialog } from "./components/why.tsx";
import { WorthSection } from "./components/worth.tsx";
import { cellAt, firstChoice, type Cell } from "./cover.ts";
import { useSettings, useShortcuts } from "./settings.ts";
import { follow, NOTHING_YET, type Live } from "./live.ts";
import { heldKey, holdKey } from "./preferences.ts";

type Open =
  | { kind: "help" }
  | { kind: "why"; promotion: string }
  | { kind: "key"; turn: number; reason: string | null; answer: (key: string | null) => void };

export function App() {
  const [live, setLive] = useState<Live>(NOTHING_YET);
  useEffect(() => follow(setLive), []);
  const { view, choose } = useView();
  const [open, setOpen] = useState<Open | null>(null);
  const [keyHeld, setKeyHeld] = useState(() => heldKey() !== null);
  const { theme, zone, toggleTheme, toggleZone } = useSettings();

  // Without a cell in the address the page opens with the one that needs somebody first.
  useEffect(() => {
    if (view.cell !== null || live.cover === null) return;
    const cell = firstChoice(live.cover);
    if (cell !== null) choose({ cell });
  }, [live.cover, view.cell]);

  // Each time that a key is asked for, the dialog is another one.
  const turn = useRef(0);
  const askKey = useCallback(
    (reason: string | null) =>
      new Promise<string | null>((answer) => setOpen({ kind: "key", turn: (turn.current += 1), reason, answer })),
    [],
  );
  const onCell = useCallback((cell: Cell) => choose({ cell }), []);
  const onRange = useCallback((range: Range) => choose({ range }), []);
  const onTopic = useCallback((topic: string) => choose({ topic }), []);
  const onWhy = useCallback((promotion: string) => setOpen({ kind: "why", promotion }), []);
  const close = useCallback(() => setOpen(null), []);
  const onKey = useCallback(() => void askKey(null), []);
  const onHelp = useCallback(() => setOpen({ kind: "help" }), []);
  const gotKey = (key: string | null) => {
    holdKey(key);
    setKeyHeld(key !== null);
    if (open?.kind === "key") open.answer(key);
    setOpen(null);
  };
  const noKey = () => {
    if (open?.kind === "key") open.answer(null);
    setOpen(null);
  };
  useShortcuts(open !== null, { onHelp, onKey, onTheme: toggleTheme, onZone: toggleZone, onRange });

  const { connection, generation } = live;
  const level = live.cover !== null && view.cell !== null ? (cellAt(live.cover, view.cell)?.on_hand ?? null) : null;
  return (
    <div class={`page ${connection.kind}`} data-connection={connection.kind}>
      <Header
        pipeline={live.pipeline}
        connection={connection}
        theme={theme}
        zone={zone}
        keyHeld={keyHeld}
        onTheme={toggleTheme}
        onZone={toggleZone}
        onKey={onKey}
        onHelp={onHelp}
      />
      <Lost connection={connection} zone={zone} />
      <main>
        <PipelineSection pipeline={live.pipeline} />
        <CoverSection cover={live.cover} chosen={view.cell} onChoose={onCell} />
        <SeriesSection
          cell={view.cell}
          range={view.range}
          zone={zone}
          generation={generation}
          level={level}
          onCell={onCell}
          onRange={onRange}
        />
        <CodesSection codes={live.codes} zone={zone} onWhy={onWhy} onCell={onCell} />
        <WorthSection live={live.worth} generation={generation} />
        <RulesSection generation={generation} askKey={askKey} />
        <TopicsSection topic={view.topic} zone={zone} generation={generation} onTopic={onTopic} />
      </main>
      {open?.kind === "help" && <HelpDialog onClose={close} />}
      {open?.kind === "why" && <WhyDialog promotion={open.promotion} zone={zone} onClose={close} />}
      {open?.kind === "key" && <KeyDialog key={open.turn} reason={open.reason} held={keyHeld} onKey={gotKey} onClose={noKey} />}
    </div>
  );
}

/** What is in the address; a choice replaces it, so that going back leaves the page and not the last cell. */
function useView(): { view: View; choose: (part: Partial<View>) => void } {
  const [view, setView] = useState<View>(() => parseAddress(location.hash));
  const current = useRef(view);
  useEffect(() => {
    const changed = () => setView((current.current = parseAddress(location.hash)));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const choose = useCallback((part: Partial<View>) => {
    current.current = { ...current.current, ...part };
    history.replaceState(null, "", formatAddress(current.current));
    setView(current.current);
  }, []);
  return { view, choose };
}
