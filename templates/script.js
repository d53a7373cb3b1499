"use strict";
// The page is whole without this. With it one can choose, and tables can be sorted, filtered, copied and saved.
// Every text is set as text: nothing of a record is ever taken for markup.
(() => {
  // Ranks the arms that are shown, given in the order of their ratios. Rust decides which arm is better than which, and which
  // are floors; a rank is one more than the number of shown arms that are better. Floors have none, and stand behind.
  const ranked = (shown, betterThan, floors) => {
    const rankable = shown.filter((arm) => !floors[arm]);
    const rank = (arm) => (floors[arm] ? Infinity : 1 + rankable.filter((other) => betterThan[other][arm] === "1").length);
    return shown.map((arm) => ({ arm, rank: rank(arm) })).sort((one, other) => (one.rank === other.rank ? 0 : one.rank - other.rank));
  };

  // Names in a sentence: a; a and b; a, b and c.
  const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

  // How much more or less some ratios are, such as 17 to 19% more.
  const size = (ratios) => {
    const shares = ratios.map((ratio) => 100 * (ratio - 1));
    const [low, high] = [Math.min(...shares), Math.max(...shares)];
    const [one, other] = [low, high].map((share) => Math.abs(share).toFixed(0));
    const way = low + high >= 0 ? "more" : "less";
    if (one === other) return `${other}% ${way}`;
    if (Math.sign(low) !== Math.sign(high)) return `${low.toFixed(0)} to +${high.toFixed(0)}%`;
    return way === "less" ? `${other} to ${one}% less` : `${one} to ${other}% more`;
  };

  // The classes that one can ask for. A session of tens of messages spends little on connecting: it is a long one.
  const few = (connections) => connections < 8;
  const crowd = (connections) => connections > 256;
  const long = (messages) => messages >= 32;
  const big = (bytes) => bytes > 1024;

  // The recorded contest that is nearest to what was asked for: the size of a message decides first, for copying then costs
  // most; then whether sessions are long; then how many connections there are.
  const nearest = (contests, wish) => {
    const differs = (of, one, other) => (of(one) === of(other) ? 0 : 1);
    const distance = (contest) =>
      100 * differs(big, contest.bytes, wish.bytes) + 10 * differs(long, contest.messages, wish.messages) +
      Math.abs(Math.log10(contest.connections / wish.connections));
    // At a rate the pacer is the client of all, and one asks for the contest itself.
    const asked = (contest) => contest.load === wish.load && (wish.load !== "" || contest.view === wish.view);
    return contests
      .filter((contest) => asked(contest) && contest.class === wish.class && wish.measure in contest.measures)
      .sort((one, other) => distance(one) - distance(other))[0];
  };

  const satisfies = (need, all) => {
    const least = Math.min(...all.filter((is) => is.crates !== null).map((is) => is.crates));
    return {
      any: () => true,
      maintained: (is) => is.maintained,
      portable: (is) => is.portable,
      safe: (is) => is.safe,
      small: (is) => is.crates === least,
    }[need];
  };

  const verdict = (found, reference) => {
    if (!found) return `${reference} has no verdict here`;
    if (found[4] === 1) return "better";
    if (found[4] === -1) return "worse";
    return `${found[4] === 0 ? "statistically indistinguishable" : "suggestive"}; a verdict needed ${(found[3] * 100).toFixed(1)}%`;
  };

  const chooser = (form, data) => {
    const table = document.getElementById("ranking");
    const body = table.tBodies[0];
    const rows = new Map([...body.rows].map((row) => [row.dataset.arm, row]));
    const cell = (within, name) => within.querySelector(`[data-cell="${name}"]`);

    const say = (contest, measure, ranks, wish) => {
      const best = ranks.filter((is) => is.rank === 1);
      const names = best.map((is) => contest.arms[is.arm]);
      const among = wish.need === "any" ? "" : ", of those that are what you need,";
      // A size is told against what is ranked, and where all who lead are told better than that.
      const reference = contest.arms.indexOf(wish.reference);
      const baseline = reference < 0 || contest.floors[reference] ? contest.baseline : reference;
      const ratios = (baseline === null ? null : measure.ratios[baseline]) ?? [];
      const found = best.map((is) => ratios[is.arm]).filter((is) => is && is[4] === 1);
      const sizes = found.length === best.length && found.length > 0
        ? `: ${size(found.map((is) => is[0]))} than ${contest.arms[baseline]}` : "";
      const floor = ranks.find((is) => is.rank === Infinity && ratios[is.arm]?.[4] === 1);
      const hand = floor && wish.need === "any"
        ? ` The hand-written loop ${contest.arms[floor.arm]} has ${size([ratios[floor.arm][0]])} ${measure.name} than ${contest.arms[baseline]}.` : "";
      const rankable = ranks.filter((is) => is.rank !== Infinity).length;
      document.getElementById("verdict").textContent = best.length === 0 ? "No backend that was measured is what you need."
        : best.length > 1 && best.length === rankable
        ? `${listed(names)} are statistically indistinguishable by ${measure.name}.`
        : `${listed(names)}${among} ${best.length === 1 ? "leads" : "lead"} by ${measure.name}${sizes}` +
          `${best.length === 1 ? "" : "; they are statistically indistinguishable"}.${hand}`;
      const exact = few(contest.connections) === few(wish.connections) && crowd(contest.connections) === crowd(wish.connections)
        && long(contest.messages) === long(wish.messages) && big(contest.bytes) === big(wish.bytes);
      const clients = wish.view === "own" ? "each client against its own server" : "one neutral client against each server";
      const threads = { single: ", one thread each", multi: ", several threads each" }[contest.class] ?? "";
      if (contest.load !== "") {
        document.getElementById("measured").textContent =
          `Measured: ${contest.load}, ${contest.connections} connections, the pacer against each server${threads}.`;
        return;
      }
      document.getElementById("measured").textContent =
        `${exact ? "Measured" : "Not measured as such; the nearest that was"}: ${contest.connections} ` +
        `${contest.connections === 1 ? "connection" : "connections at a time"}, sessions of ${contest.messages} messages ` +
        `of ${contest.bytes} bytes (${contest.workload}), ${clients}${threads}.`;
    };

    // Draws the interval; nothing where there is none, but for the reference itself.
    const draw = (row, found, place, isReference) => {
      const [same, interval, mark] = ["same", "interval", "mark"].map((name) => row.querySelector(`.glyph .${name}`));
      const [ratio, low, high] = found ?? [1, 1, 1];
      const set = (element, attributes) => Object.entries(attributes).forEach(([k, v]) => element.setAttribute(k, v));
      set(same, { x1: place(1), x2: place(1) });
      set(interval, { x1: place(low), x2: place(high) });
      set(mark, { cx: place(ratio) });
      const hidden = found || isReference ? "visible" : "hidden";
      for (const element of [interval, mark]) set(element, { visibility: hidden });
    };

    const show = () => {
      const wish = { load: "", ...Object.fromEntries(new FormData(form)) };
      for (const name of ["connections", "messages", "bytes"]) wish[name] = Number(wish[name]);
      const contest = nearest(data.contests, wish);
      if (!contest) {
        document.getElementById("verdict").textContent = "That was not measured in this run.";
        document.getElementById("measured").textContent = "";
        body.replaceChildren();
        return;
      }
      const measure = contest.measures[wish.measure];
      const needs = contest.servers.map((server) => data.needs[server]);
      const satisfied = satisfies(wish.need, needs.filter((_, arm) => !contest.floors[arm]));
      const ranks = ranked(measure.order.filter((arm) => wish.need === "any" || (!contest.floors[arm] && satisfied(needs[arm]))), measure.better_than, contest.floors);
      const reference = contest.arms.indexOf(wish.reference);
      const ratios = measure.ratios[reference] ?? [];
      const shown = ranks.map((is) => ratios[is.arm]).filter(Boolean);
      const [low, high] = [Math.min(1, ...shown.map((r) => r[1])), Math.max(1, ...shown.map((r) => r[2]))];
      const place = (value) => (high > low ? 4 + (112 * Math.log(value / low)) / Math.log(high / low) : 60).toFixed(1);
      cell(table, "unit").textContent = measure.name + (measure.unit && measure.unit !== "1/s" ? `, ${measure.unit}` : "");
      cell(table, "to").textContent = `ratio to ${wish.reference}`;
      say(contest, measure, ranks, wish);
      const fill = ({ arm, rank }) => {
        const row = rows.get(contest.arms[arm]);
        row.hidden = false;
        const found = ratios[arm];
        cell(row, "rank").textContent = rank === Infinity ? "–" : rank;
        cell(row, "level").textContent = measure.levels[arm];
        cell(row, "ratio").textContent = arm === reference ? "1" : found ? found[0].toFixed(3) : "–";
        cell(row, "interval").textContent = found ? `${found[1].toFixed(3)} to ${found[2].toFixed(3)}` : "";
        cell(row, "verdict").textContent = (arm === reference ? "reference" : verdict(found, wish.reference)) +
          (rank === Infinity ? "; by hand, not ranked" : "");
        draw(row, found, place, arm === reference);
        return row;
      };
      // What has no verdict in this contest stands last, and says so; what is not what one needs is left out.
      const unjudged = contest.unjudged.map((name) => {
        const row = rows.get(name);
        row.hidden = false;
        for (const field of ["rank", "level", "ratio"]) cell(row, field).textContent = "–";
        cell(row, "interval").textContent = "";
        cell(row, "verdict").textContent = "no verdict here";
        draw(row, null, place, false);
        return row;
      });
      body.replaceChildren(...ranks.map(fill), ...(wish.need === "any" ? unjudged : []));
    };
    // What nothing satisfies is not offered.
    const all = Object.values(data.needs);
    for (const option of form.elements.need.options) option.disabled = !all.some(satisfies(option.value, all));
    form.hidden = false;
    form.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    show();
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => {
          const { dataset, textContent } = row.cells[column];
          return dataset.key !== undefined ? Number(dataset.key) : textContent;
        };
        const compare = (one, other) => {
          // What was not measured stands last, whichever way.
          if ((one === "–") !== (other === "–")) return one === "–" ? 1 : -1;
          const order = typeof one === "number" && typeof other === "number" ? one - other
            : String(one).localeCompare(String(other), "en", { numeric: true });
          return down ? -order : order;
        };
        body.append(...[...body.rows].sort((one, other) => compare(value(one), value(other))));
      });
    });
  };

  const visible = (table) => [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter((row) => !row.hidden)]
    .map((row) => [...row.cells].map((cell) => cell.textContent.trim()));

  // Text as Markdown has it, so that nothing of it is taken for markup.
  const plain = (text) => text.replace(/[\\|*_`\[\]]/g, "\\$&").replaceAll("<", "&lt;").replace(/\s+/g, " ");

  const markdown = (table) => {
    const lines = visible(table).map((cells) => `| ${cells.map(plain).join(" | ")} |`);
    lines.splice(1, 0, `|${"---|".repeat(table.tHead.rows[0].cells.length)}`);
    return lines.join("\n") + "\n";
  };

  const csv = (table) => {
    // What a spreadsheet would take for a formula is disarmed.
    const disarm = (text) => (/^[=+@-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
    const quote = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return visible(table).map((cells) => cells.map((text) => quote(disarm(text))).join(",")).join("\r\n") + "\r\n";
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed, as where the page is not from a safe place: the old way.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };

  const save = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const equip = (box) => {
    const table = box.querySelector("table");
    const tools = box.querySelector(".tools");
    const told = tools.querySelector("[role=status]");
    tools.hidden = false;
    tools.querySelector("input").addEventListener("input", ({ target }) => {
      const words = target.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    tools.querySelector("[data-do=markdown]").addEventListener("click", async () => {
      told.textContent = (await copy(markdown(table))) ? "Copied." : "The browser does not let this page copy.";
    });
    tools.querySelector("[data-do=csv]").addEventListener("click", () => save(`${table.id}.csv`, csv(table)));
    sortable(table);
  };

  document.querySelectorAll(".table").forEach(equip);
  const form = document.getElementById("chooser");
  const data = form && JSON.parse(document.getElementById("data").textContent);
  // Where nothing can be ranked, what stands there already is all that can be said.
  if (form && data.contests.length > 0) chooser(form, data);
})();
