/// What the page of relationships does. The fragment of its address is the type that is selected: `#Patient`. Nothing of
/// the document becomes markup; texts are set as texts.

extension RelationshipPage {
  static let script = #"""

    "use strict";
    const graph = JSON.parse(document.getElementById("graph").textContent);
    const byID = id => document.getElementById(id);
    const main = byID("main"), picture = byID("picture"), list = byID("types"), search = byID("search");
    const types = graph.types.map(([name, served], id) => ({ id, name, served }));
    const idOf = new Map(types.map(type => [type.name, type.id]));
    const allEdges = graph.edges.map(([source, target, parameter, evidence]) => ({
      source, target, parameter, evidence, declared: evidence.some(word => !word.includes("specification")),
    }));
    const words = {
      search_include: "searchInclude", search_rev_include: "searchRevInclude", declared_parameter: "search parameter",
      specification: "FHIR's definition", near_specification: "definition in a neighbouring version of FHIR",
    };
    let edges = allEdges, selected = null, follow = null;

    function svg(name, attributes, ...children) {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    }
    function html(name, attributes, ...children) {
      const element = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    }
    const cut = (text, max) => text.length > max ? text.slice(0, Math.max(1, max - 1)) + "…" : text;
    const link = type => "#" + encodeURIComponent(type.name);
    const counted = (n, word) => n + " " + word + (n === 1 ? "" : "s");

    // Groups of edges that share the other end, by its name.
    function neighbours(id, near, far) {
      const found = new Map();
      for (const edge of edges) {
        if (edge[near] !== id || edge[far] === id) continue;
        const group = found.get(edge[far]) || { type: types[edge[far]], parameters: [], declared: false };
        group.parameters.push(edge.parameter);
        group.declared ||= edge.declared;
        found.set(edge[far], group);
      }
      return [...found.values()].sort((a, b) => a.type.name < b.type.name ? -1 : 1);
    }

    // The list ------------------------------------------------------------------------------------------------------

    function fillList() {
      const degree = types.map(() => [0, 0]);
      for (const edge of edges) { degree[edge.target][0] += 1; degree[edge.source][1] += 1; }
      const query = search.value.trim().toLowerCase();
      const byParameter = new Set();
      if (query.length > 2) for (const edge of edges) {
        if (edge.parameter.toLowerCase().includes(query)) byParameter.add(edge.source);
      }
      const rank = type => {
        const at = type.name.toLowerCase().indexOf(query);
        return at === 0 ? 0 : at > 0 ? 1 : byParameter.has(type.id) ? 2 : 3;
      };
      const shown = types.map(type => [rank(type), type]).filter(([order]) => order < 3)
        .sort((a, b) => a[0] - b[0] || a[1].id - b[1].id).map(([, type]) => type);
      list.replaceChildren(...shown.map(type => {
        const button = html("button", { type: "button", title: type.name + (type.served ? "" : ", not on this server") },
          html("span", { class: "name" }, type.name),
          html("span", { class: "count", "aria-label":
            "referred to " + degree[type.id][0] + ", refers " + degree[type.id][1] },
            "←" + degree[type.id][0] + " →" + degree[type.id][1]));
        if (!type.served) button.className = "absent";
        if (type.id === selected) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => { location.hash = link(type); });
        return html("li", {}, button);
      }));
      byID("found").textContent = query ? counted(shown.length, "type") + " found" : counted(shown.length, "type");
    }

    // A type in the middle ------------------------------------------------------------------------------------------

    const pitch = 38, boxHeight = 31, headroom = 34;

    function box(x, y, width, group, sentence) {
      const mark = group.declared ? "" : " spec";
      const name = cut(group.type.name, (width - 14) / 5.8);
      const size = Math.min(12, (width - 14) / name.length / .64);
      const node = svg("g", { class: "box" + mark + (group.type.served ? "" : " absent"), tabindex: 0, role: "link",
        "aria-label": sentence, "data-type": group.type.name },
        svg("title", {}, sentence),
        svg("rect", { x, y: y - boxHeight / 2, width, height: boxHeight, rx: 5 }),
        svg("text", { class: "type", x: x + 8, y: y - 3, "font-size": size }, name),
        svg("text", { class: "dim", x: x + 8, y: y + 10, "font-size": 10.5 },
          cut(group.parameters.join(", "), (width - 14) / 5.8)));
      act(node, group.type);
      return node;
    }

    function act(node, type) {
      node.addEventListener("click", () => { location.hash = link(type); });
      node.addEventListener("keydown", event => { if (event.key === "Enter") location.hash = link(type); });
    }

    // One side's boxes, in one column or two; the outer column stands in the gaps of the inner one.
    function side(groups, isLeft, width, height, centre) {
      const columns = groups.length * pitch > height - headroom - 10 && width > 330 ? 2 : 1;
      const perColumn = Math.ceil(groups.length / columns), gap = 46;
      const boxWidth = Math.min(250, (width - gap - (columns - 1) * 14 - 10) / columns);
      return { rows: perColumn + (columns - 1) / 2, boxes: groups.map((group, i) => {
        const column = i % columns, row = Math.floor(i / columns);
        const near = gap + column * (boxWidth + 14);
        return { group, boxWidth, shift: row * pitch + column * pitch / 2, bend: isLeft ? -gap : gap,
          edge: isLeft ? -near : near, x: isLeft ? centre.x - centre.half - near - boxWidth
            : centre.x + centre.half + near };
      }) };
    }

    function showType(type) {
      const width = main.clientWidth, height = main.clientHeight;
      const label = type.name, half = Math.max(72, Math.min(125, 20 + label.length * 4.2));
      const centre = { x: width / 2, half };
      const incoming = neighbours(type.id, "target", "source"), outgoing = neighbours(type.id, "source", "target");
      const own = edges.filter(edge => edge.source === type.id && edge.target === type.id).map(edge => edge.parameter);
      const left = side(incoming, true, width / 2 - half, height, centre);
      const right = side(outgoing, false, width / 2 - half, height, centre);
      const tall = Math.max(Math.min(height - 6, 560), Math.max(left.rows, right.rows) * pitch + headroom + 20);
      const layer = svg("g", { class: "focus" }), paths = [];
      const at = (y, long) => Math.min(Math.max(y, long / 2 + headroom), tall - long / 2 - 8);
      for (const [part, isLeft] of [[left, true], [right, false]]) {
        // A side that fits into the window goes with the middle; a longer one scrolls by.
        const long = part.rows * pitch, moves = long < height - headroom - 20;
        const start = moves ? (pitch - long) / 2 : headroom + pitch / 2;
        const column = svg("g", {});
        if (moves) paths.push(y0 => column.setAttribute("transform", `translate(0 ${at(y0, long)})`));
        for (const item of part.boxes) {
          const y = start + item.shift, { group } = item;
          const path = svg("path", { class: (isLeft ? "in" : "out") + (group.declared ? "" : " spec") });
          const by = " by " + group.parameters.join(", ");
          const sentence = isLeft ? group.type.name + " refers to " + label + by
            : label + " refers to " + group.type.name + by;
          const node = box(item.x, y, item.boxWidth, group, sentence);
          for (const [on, off] of [["mouseenter", "mouseleave"], ["focus", "blur"]]) {
            node.addEventListener(on, () => path.classList.add("lit"));
            node.addEventListener(off, () => path.classList.remove("lit"));
          }
          paths.push(y0 => {
            const x0 = centre.x + (isLeft ? -half : half), x1 = x0 + item.bend, mid = (x0 + x1) / 2;
            const y1 = moves ? at(y0, long) + y : y;
            path.setAttribute("d", `M${x0} ${y0}C${mid} ${y0} ${mid} ${y1} ${x1} ${y1}H${x0 + item.edge}`);
          });
          layer.prepend(path);
          column.append(node);
        }
        layer.append(column);
      }
      const middle = svg("g", { class: "centre" },
        svg("rect", { x: centre.x - half, y: -26, width: 2 * half, height: 52, rx: 8 }),
        svg("text", { class: "type", x: centre.x, y: own.length ? -4 : -1, "text-anchor": "middle", "font-size": 13.5 },
          cut(label, half / 3.9)),
        svg("text", { class: "dim", x: centre.x, y: own.length ? 9 : 13, "text-anchor": "middle", "font-size": 10.5 },
          counted(incoming.length, "type") + " → · → " + counted(outgoing.length, "type")),
        ...(own.length ? [svg("text", { class: "dim", x: centre.x, y: 21, "text-anchor": "middle", "font-size": 10.5 },
          cut("itself: " + own.join(", "), half / 2.7))] : []));
      layer.append(middle);
      // The middle stays in sight while the neighbours scroll by.
      follow = () => {
        const y = Math.min(Math.max(main.scrollTop + Math.min(height, tall) / 2, 60), tall - 40);
        middle.setAttribute("transform", `translate(0 ${y})`);
        for (const lead of paths) lead(y);
      };
      draw(layer, width, tall);
      follow();
    }

    function draw(layer, width, height) {
      picture.setAttribute("width", width);
      picture.setAttribute("height", height);
      picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
      picture.replaceChildren(layer);
    }

    // All types on a circle -----------------------------------------------------------------------------------------

    function showAll() {
      follow = null;
      const width = main.clientWidth, shown = types.filter(type => type.served || edges.some(
        edge => edge.source === type.id || edge.target === type.id));
      // A label needs 9 px of the circle; where that is more than the window has, the picture scrolls.
      const room = Math.min(width, main.clientHeight - 14) / 2;
      const longest = 14 + 7 * Math.min(34, shown.reduce((most, type) => Math.max(most, type.name.length), 0));
      const radius = Math.max(room - longest, shown.length * 9 / 2 / Math.PI, 40);
      const size = Math.max(8, Math.min(11.5, radius * 2 * Math.PI / Math.max(1, shown.length) * .86));
      const height = Math.max(main.clientHeight - 14, 2 * (radius + longest)), cx = width / 2, cy = height / 2;
      const layer = svg("g", { class: "web" }), lines = svg("g", {}), labels = svg("g", {});
      const place = new Map(), pathsOf = new Map(shown.map(type => [type.id, []])), textOf = new Map();
      shown.forEach((type, i) => place.set(type.id, i / shown.length * 2 * Math.PI - Math.PI / 2));
      const pairs = new Map();
      for (const edge of edges) {
        const key = edge.source + " " + edge.target, pair = pairs.get(key);
        if (pair) pair.declared ||= edge.declared;
        else pairs.set(key, { source: edge.source, target: edge.target, declared: edge.declared });
      }
      for (const pair of pairs.values()) {
        if (pair.source === pair.target) continue;
        const [a, b] = [place.get(pair.source), place.get(pair.target)];
        const at = (angle, r) => (cx + r * Math.cos(angle)).toFixed(1) + " " + (cy + r * Math.sin(angle)).toFixed(1);
        const path = svg("path", { class: pair.declared ? "" : "spec",
          d: "M" + at(a, radius) + "C" + at(a, radius * .35) + " " + at(b, radius * .35) + " " + at(b, radius) });
        lines.append(path);
        pathsOf.get(pair.source).push({ path, way: "out", other: pair.target });
        pathsOf.get(pair.target).push({ path, way: "in", other: pair.source });
      }
      for (const type of shown) {
        const angle = place.get(type.id), turn = angle * 180 / Math.PI, flip = Math.cos(angle) < -1e-9;
        const text = svg("text", { "font-size": size, dy: ".32em", "text-anchor": flip ? "end" : "start",
          transform: `translate(${cx + (radius + 7) * Math.cos(angle)} ${cy + (radius + 7) * Math.sin(angle)})`
            + `rotate(${flip ? turn + 180 : turn})` }, cut(type.name, 34));
        const node = svg("g", { tabindex: 0, role: "link", "aria-label": type.name, "data-type": type.name,
          class: type.served ? "" : "absent" }, svg("title", {}, type.name), text);
        textOf.set(type.id, text);
        act(node, type);
        const light = on => {
          layer.classList.toggle("lit", on);
          text.classList.toggle("lit", on);
          for (const { path, way, other } of pathsOf.get(type.id)) {
            for (const name of ["lit", way]) path.classList.toggle(name, on);
            for (const name of ["lit", way]) textOf.get(other).classList.toggle(name, on);
          }
        };
        for (const name of ["mouseenter", "focus"]) node.addEventListener(name, () => light(true));
        for (const name of ["mouseleave", "blur"]) node.addEventListener(name, () => light(false));
        labels.append(node);
      }
      layer.append(lines, labels);
      draw(layer, width, height);
    }

    // In words ------------------------------------------------------------------------------------------------------

    function table(heading, rows) {
      if (!rows.length) return [];
      const cells = (kind, values) => html("tr", {}, ...values.map(value => html(kind, {}, value)));
      return [html("h2", {}, heading), html("table", {}, html("thead", {}, cells("th", ["Type", "Parameter", "Known from"])),
        html("tbody", {}, ...rows.map(row => cells("td", row))))];
    }
    function showDetails(type) {
      const evidence = list => list.map(word => words[word] || word).join(", ");
      const anchor = id => html("a", { href: link(types[id]) }, types[id].name);
      const rows = (near, far) => edges.filter(edge => edge[near] === type.id)
        .map(edge => [anchor(edge[far]), edge.parameter, evidence(edge.evidence)]);
      const open = graph.open.filter(([source]) => source === type.id)
        .map(([, parameter, any, list]) => [any ? "any type" : "not known", parameter, evidence(list)]);
      byID("details").replaceChildren(...(type ? [
        ...table(type.name + " refers to", [...rows("source", "target"), ...open]),
        ...table("Refer to " + type.name, rows("target", "source"))] : []));
    }

    // What people do ------------------------------------------------------------------------------------------------

    function show() {
      edges = byID("all").checked ? allEdges : allEdges.filter(edge => edge.declared);
      let name = "";
      try { name = decodeURIComponent(location.hash.slice(1)); } catch { name = ""; }
      const id = idOf.has(name) ? idOf.get(name) : null;
      if (id !== selected) main.scrollTop = 0;
      selected = id;
      document.documentElement.dataset.selected = id === null ? "" : name;
      fillList();
      if (id === null) { showAll(); byID("details").replaceChildren(); } else { showType(types[id]); showDetails(types[id]); }
      const current = list.querySelector("[aria-current]");
      if (current) current.scrollIntoView({ block: "nearest" });
    }

    addEventListener("hashchange", show);
    addEventListener("resize", show);
    main.addEventListener("scroll", () => { if (follow) follow(); });
    byID("all").addEventListener("change", show);
    search.addEventListener("input", fillList);
    addEventListener("keydown", event => {
      const buttons = [...list.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
      if (event.key === "/" && document.activeElement !== search) { search.focus(); search.select(); }
      else if (event.key === "Escape") { search.value = ""; location.hash = ""; fillList(); }
      else if (event.key === "Enter" && document.activeElement === search && buttons[0]) buttons[0].click();
      else if (event.key === "ArrowDown" && (at >= 0 || document.activeElement === search)) buttons[at + 1]?.focus();
      else if (event.key === "ArrowUp" && at >= 0) (buttons[at - 1] || search).focus();
      else return;
      event.preventDefault();
    });
    show();

    """#
}
