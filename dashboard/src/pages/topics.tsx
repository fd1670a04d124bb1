/** Topics of retained messages and of subscriptions as a tree, and the retained message of one. */
import { useState } from "preact/hooks";
import { get, type Page } from "../api";
import type { Branch } from "../api-types";
import { listOf } from "../client-rows";
import { Heading } from "../parts/heading";
import { FailureLine } from "../parts/states";
import { Tree, type Level, type TreeNode } from "../parts/tree";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may } from "../session";
import { number, t } from "../text";
import { absolute, bytes, now, span } from "../time";
import { param, setParams } from "../url";
import { PublishButton } from "./topics/publish";
import { Chosen } from "./topics/chosen";

const KINDS = ["retained", "routes"] as const;

/** The paths of all levels above it: those are open. */
function above(topic: string): string[] {
  const levels = topic.split("/");
  return levels.slice(0, -1).map((_, index) => levels.slice(0, index + 1).join("/"));
}

export default function Topics() {
  const topic = param("topic");
  const of = KINDS.find((one) => one === param("of"));
  const node = param("node");
  const [typed, setTyped] = useState(topic);
  const [jumps, setJumps] = useState(0);
  const [changes, setChanges] = useState(0);
  // R asks for the figures and, with them, for the tree.
  const asked = useAsk(`topics ${node}`, async (signal) => {
    const rows = await get<({ node: string } & Record<string, number>)[]>("stats/", {}, signal);
    const sum = (name: string): number => rows.filter((row) => !node || row.node === node).reduce((all, row) => all + (row[name] ?? 0), 0);
    return { retained: sum("retained/count"), routes: sum("topics/count") };
  });
  const load = async (parent: TreeNode<Branch> | null, after: string | null): Promise<Level<Branch>> => {
    // In lists, since a level may be empty.
    const { items, meta } = await get<Page<Branch>>(listOf("topic_tree", node), {
      under: parent ? [parent.id] : undefined, after: after === null ? undefined : [after], of });
    return { nodes: items.map(branch), after: meta.hasnext ? items.at(-1)!.level : null };
  };
  const changed = (): void => {
    setChanges((before) => before + 1);
    asked.again();
  };
  const choose = (chosen: string): void => {
    setTyped(chosen);
    setParams({ topic: chosen }, { step: true });
  };
  return <>
    <Heading title={t("place.topics")}>
      <form class="row" role="search" onSubmit={(event) => {
        event.preventDefault();
        choose(typed);
        setJumps((before) => before + 1);
      }}>
        <input type="search" class="mono" aria-label={t("topics.go-to")} placeholder={t("topics.go-to")} value={typed} spellcheck={false}
          onInput={(event) => setTyped(event.currentTarget.value)} />
        <button>{t("topics.go")}</button>
      </form>
      <div class="segments" role="group" aria-label={t("topics.show")}>
        {([undefined, ...KINDS] as const).map((one) => <button key={one ?? "all"} aria-pressed={of === one}
          onClick={() => setParams({ of: one }, { step: true })}>{t(`topics.of.${one ?? "all"}`)}</button>)}
      </div>
      <span class="quiet">{asked.data && t("topics.figures", { retained: asked.data.retained, routes: asked.data.routes })}</span>
      <span class="spread" />
      {may("operator") && <PublishButton topic={/[#+]/.test(topic) ? "" : topic} done={changed} />}
    </Heading>
    <FailureLine asked={asked} />
    <div class="halves">
      <div class="sheet scrolled">{asked.data && <Tree<Branch> key={`${jumps} ${of} ${node}`} label={t("topics.level")}
        columns={[t("topics.payload"), t("topics.size"), t("topics.age"), t("topics.subscriptions"), t("topics.below")]} load={load} selected={topic}
        onSelect={(one) => choose(one.id)} open={above(topic)} version={asked.at} />}
      {asked.data && asked.data.retained + asked.data.routes === 0 && <div class="state-box">{t("topics.empty")}</div>}</div>
      <div class="sheet">{topic ? <Chosen key={topic} topic={topic} changes={changes} changed={changed} />
        : <div class="state-box">{t("topics.choose")}</div>}</div>
    </div>
  </>;
}

function branch(row: Branch): TreeNode<Branch> {
  return {
    id: row.topic, opens: row.children !== 0, data: row,
    name: <Id>{row.level}</Id>,
    cells: [row.has_message ? <span class="beginning">{row.beginning === undefined ? t("topics.binary") : <Id>{row.beginning}</Id>}</span> : "",
      row.payload_size === undefined ? "" : bytes(row.payload_size),
      row.published_at_ts === undefined ? "" : <time title={absolute(row.published_at_ts)}>{span(now.value - row.published_at_ts)}</time>,
      row.subscriptions ? number(row.subscriptions) : "", row.children === 0 ? "" : typeof row.children === "number" ? number(row.children) : row.children],
  };
}
