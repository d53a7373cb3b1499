"use strict";
// The page is whole without this. With it one can choose, and tables can be sorted, filtered, copied and saved.
// Every text is set as text: nothing of a record is ever taken for markup.
(() => {
  // Ranks the arms that are shown, given in the order of their ratios. Rust decides which arm is better than which; a rank is one
  // more than the number of shown arms that are better.
  const ranked = (shown, betterThan) => {
    const rank = (arm) => 1 + shown.filter((other) => betterThan[other][arm] === "1").length;
    return shown.map((arm) => ({ arm, rank: rank(arm) })).sort((one, other) => one.rank - other.rank);
  };

  // Names in a sentence: a; a and b; a, b and c.
  const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

  // How far a ratio is from 1: 17%. And how much more or less it is: 17% more.
  const percent = (ratio) => {
    const far = 100 * Math.abs(ratio - 1);
    return `${far.toFixed(far < 0.95 ? 1 : 0)}%`;
  };
  const size = (ratio) => `${percent(ratio)} ${ratio >= 1 ? "more" : "less"}`;

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
      maintained: (is) => is.maintained === true,
      portable: (is) => is.portable,
      safe: (is) => is.safe,
      small: (is) => is.crates === least,
    }[need];
  };

  // What a verdict is called, its sign, and where it is none the difference that was needed for one.
  const verdict = (found) => ({ 1: "better", "-1": "worse", 0.5: "suggestive", 0: "statistically indistinguishable" })[found[4]];
  const sign = (found) => ({ 1: "▲", "-1": "▼", 0.5: "~", 0: "=" })[found[4]];
  const needed = (found) => {
    if (Math.abs(found[4]) === 1) return "";
    return found[3] < 10 ? ` ±${(found[3] * 100).toFixed(1)}%` : " ±1000% or more";
  };

  const svg = (name, attributes, ...children) => {
    const element = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  };
  // Where the ratios stand that are written, in percent: behind the end of the axis, where no line crosses them.
  const LABELS = 74;
  // A line across a plot, at a place in percent.
  const across = (look, x, y1 = 0) => svg("line", { class: look, x1: `${x}%`, y1, x2: `${x}%`, y2: "100%" });

  const chooser = (form, data) => {
    const table = document.getElementById("ranking");
    const body = table.tBodies[0];
    const rows = new Map([...body.rows].map((row) => [row.dataset.arm, row]));
    const cell = (within, name) => within.querySelector(`[data-cell="${name}"]`);

    const say = (contest, measure, ranks, wish) => {
      const best = ranks.filter((is) => is.rank === 1);
      const upkeep = (arm) => (data.needs[contest.servers[arm]].maintained === false ? " (not maintained)" : "");
      const names = best.map((is) => contest.arms[is.arm] + upkeep(is.arm));
      const among = wish.need === "any" ? "" : ", of those that are what you need,";
      const first = best[0]?.arm;
      // Sizes are told against the next best, and against the baseline or else the reference, where the first is told better.
      const reference = contest.arms.indexOf(wish.reference);
      const baseline = reference < 0 || contest.floors[reference] ? contest.baseline : reference;
      // Sizes are of ratios to the contest's reference, its first arm, as they are on the page without this script.
      const level = (arm) => measure.ratios[0][arm]?.[0] ?? 1;
      const isBehind = (than) => measure.better_than[first][than] === "1";
      const told = (than) => than !== null && than >= 0 && isBehind(than);
      const others = measure.order.filter((arm) => arm !== first && ranks.some((is) => is.arm === arm));
      const against = best.length === 0 ? [] : [...new Set([others.find(told), [baseline, reference].find(told)])];
      const sizes = against.filter((than) => than !== undefined)
        .map((than) => `${size(level(first) / level(than))} than ${contest.arms[than]}`).join(", ");
      const open = best.length === 0 ? [] : others.filter((arm) => !isBehind(arm))
        .map((arm) => `${contest.arms[arm]} (${percent(level(first) / level(arm))})`);
      const by = ` in ${measure.name}`;
      document.getElementById("verdict").textContent = best.length === 0 ? "No backend that was measured is what you need."
        : best.length > 1 && best.length === ranks.length ? `${listed(names)} do not differ significantly${by}.`
        : `${names[0]}${among} leads${by}${sizes === "" ? "" : `: ${sizes}`}` +
          `${open.length === 0 ? "" : `; its lead over ${listed(open)} is not significant`}.`;
      const exact = few(contest.connections) === few(wish.connections) && crowd(contest.connections) === crowd(wish.connections)
        && long(contest.messages) === long(wish.messages) && big(contest.bytes) === big(wish.bytes);
      const clients = wish.view === "own" ? "client and server of the same backend" : "the same client against each server";
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

    // Draws the mark of an arm with its interval, and what it shows beside it; nothing where there is none but of the reference.
    const draw = (row, look, found, place, isReference) => {
      const [ratio, low, high] = found ?? [1, 1, 1];
      const told = svg("tspan", { "data-cell": "ratio" }, found ? ratio.toFixed(3) : "1");
      cell(row, "mark").replaceChildren(...(found || isReference ? [
        svg("line", { class: `interval ${look}`, x1: `${place(low)}%`, y1: "50%", x2: `${place(high)}%`, y2: "50%" }),
        svg("circle", { class: `mark ${look}`, cx: `${place(ratio)}%`, cy: "50%", r: 4.5 }),
        svg("text", { x: `${LABELS}%`, y: "50%", dy: ".35em" }, told,
          ...(found ? [` ${sign(found)}`, svg("tspan", { class: "needed" }, needed(found))] : [])),
      ] : []));
    };

    // Draws what is across the plot: its axis, and the floors, the names of each at its own height, so that none is crossed.
    const drawAcross = (contest, floors, axis, place) => {
      const ticks = axis.ticks.map((tick) => [place(tick), String(tick)]);
      const isLeft = (floor) => floor.x > 50;
      floors.sort((one, other) => isLeft(one) !== isLeft(other) ? isLeft(other) - isLeft(one)
        : isLeft(one) ? other.x - one.x : one.x - other.x);
      const labels = floors.flatMap(({ name, ratio, x }, line) => [across("floor", x, 14 * line), svg("text",
        { "data-arm": name, x: `${x}%`, y: 14 * line, dx: x > 50 ? -5 : 5, dy: 11, "text-anchor": x > 50 ? "end" : "start" },
        `${name} `, svg("tspan", { "data-cell": "ratio" }, ratio))]);
      const head = cell(table, "floors");
      head.setAttribute("height", 14 * floors.length);
      head.replaceChildren(...labels);
      cell(table, "ticks").replaceChildren(...ticks.map(([x, text]) => svg("text", { x: `${x}%`, y: 13, "text-anchor": "middle" }, text)));
      for (const row of rows.values()) {
        cell(row, "across").replaceChildren(...ticks.map(([x]) => across("grid", x)), across("same", place(1)),
          ...floors.map(({ x }) => across("floor", x)));
      }
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
      const ranks = ranked(measure.order.filter((arm) => !contest.floors[arm] && satisfied(needs[arm])), measure.better_than);
      const reference = contest.arms.indexOf(wish.reference);
      const ratios = measure.ratios[reference] ?? [];
      const axis = measure.axes[reference] ?? { low: 1, high: 10, ticks: [] };
      const place = (value) => Number((6 + (66 * Math.log(value / axis.low)) / Math.log(axis.high / axis.low)).toFixed(2));
      const floors = measure.order.filter((arm) => contest.floors[arm] && (ratios[arm] || arm === reference))
        .map((arm) => ({ name: contest.arms[arm], ratio: ratios[arm]?.[0].toFixed(3) ?? "1", x: place(ratios[arm]?.[0] ?? 1) }));
      cell(table, "measure").textContent = measure.name;
      cell(table, "to").textContent = wish.reference;
      say(contest, measure, ranks, wish);
      drawAcross(contest, floors, axis, place);
      const fill = (name, rank, level, said) => {
        const row = rows.get(name);
        row.hidden = false;
        cell(row, "rank").textContent = rank;
        cell(row, "level").textContent = level;
        cell(row, "verdict").textContent = said;
        return row;
      };
      const shown = ranks.map(({ arm, rank }) => {
        const found = ratios[arm];
        const said = arm === reference ? "reference" : found ? verdict(found) : `${wish.reference} has no verdict here`;
        const row = fill(contest.arms[arm], rank, measure.levels[arm], said);
        draw(row, contest.looks[arm], found, place, arm === reference);
        return row;
      });
      // What has no verdict in this contest stands last, and says so; what is not what one needs is left out.
      const unjudged = (wish.need === "any" ? contest.unjudged : []).map((name) => {
        const row = fill(name, "–", "–", "no verdict here");
        draw(row, "", null, place, false);
        return row;
      });
      body.replaceChildren(...shown, ...unjudged);
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
