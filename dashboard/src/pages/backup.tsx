/** A backup of everything durable, and its import. */
import { useSignal } from "@preact/signals";
import { failureOf, send } from "../api";
import { confirm } from "../parts/confirm";
import { save } from "../parts/copy";
import { Heading } from "../parts/heading";
import { Icon } from "../parts/icon";
import { complain, toast } from "../parts/toast";
import { session } from "../session";
import { t } from "../text";
import { bytes } from "../time";

const WORD = "import";

export default function Backup() {
  const busy = useSignal<"" | "export" | "import">(""), file = useSignal<File | null>(null), said = useSignal("");
  const make = async (): Promise<void> => {
    busy.value = "export";
    try {
      const answer = await send("POST", "data/export");
      if (!answer.ok) throw await failureOf(answer);
      const made = await answer.blob();
      const name = `${session.value?.node ?? "broker"}-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.zip`;
      save(name, made, "application/zip");
      toast(t("backup.made", { name, size: bytes(made.size) }));
    } catch (error) {
      complain(error);
    } finally {
      busy.value = "";
    }
  };
  const restore = async (chosen: File): Promise<void> => {
    said.value = "";
    if (!await confirm({ title: t("backup.import-title", { name: chosen.name }), body: <p>{t("backup.import-body")}</p>, verb: t("backup.import"),
      danger: true, typed: WORD })) return;
    busy.value = "import";
    try {
      const answer = await send("POST", "data/import", { file: chosen });
      if (!answer.ok) throw await failureOf(answer);
      toast(t("backup.imported"));
    } catch (error) {
      said.value = (error as Error).message;
    } finally {
      busy.value = "";
    }
  };
  const chosen = file.value;
  return <>
    <Heading title={t("place.backup")} />
    <div class="stack">
      <section class="sheet"><header><h2>{t("backup.export")}</h2></header><div class="body">
        <p>{t("backup.export-hint")}</p>
        <button class="main" disabled={busy.value !== ""} onClick={() => void make()}><Icon name="download" /> {t("backup.make")}</button>
        {busy.value === "export" && <span role="status"> {t("backup.making")}</span>}</div></section>
      <section class="sheet"><header><h2>{t("backup.import-of")}</h2></header><div class="body">
        <p>{t("backup.import-hint")}</p>
        <div class="row"><input type="file" accept=".zip,application/zip" aria-label={t("backup.file")}
          onChange={(event) => (file.value = event.currentTarget.files?.[0] ?? null)} />
        <button class="danger" disabled={!chosen || busy.value !== ""} onClick={() => chosen && void restore(chosen)}><Icon name="upload" /> {t("backup.import-do")}</button>
        {chosen && <span class="quiet">{bytes(chosen.size)}</span>}</div>
        {busy.value === "import" && <p role="status">{t("backup.importing")}</p>}
        {said.value && <p class="bad" role="alert">{said.value}</p>}</div></section>
    </div>
  </>;
}
