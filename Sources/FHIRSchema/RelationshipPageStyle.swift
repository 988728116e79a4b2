/// How the page of relationships looks, by day and by night.

extension RelationshipPage {
  static let style = #"""

    :root { color-scheme: light dark; --paper: #fff; --card: #f4f6f8; --ink: #16202a; --dim: #5b6875; --line: #d3dae1;
      --in: #0b6bcb; --out: #b3400f; --web: .16; --pick: #16202a; --onpick: #fff; }
    @media (prefers-color-scheme: dark) { :root { --paper: #11161c; --card: #1b232c; --ink: #e8edf2; --dim: #93a1af;
      --line: #33404d; --in: #6db3f2; --out: #f0935c; --web: .3; --pick: #e8edf2; --onpick: #11161c; } }
    * { box-sizing: border-box; }
    html, body { height: 100%; margin: 0; }
    body { display: grid; grid-template: auto minmax(0, 1fr) / 16.5rem minmax(0, 1fr); color: var(--ink);
      background: var(--paper); font: 14px/1.4 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
    header { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; align-items: baseline;
      padding: .55rem 1rem; border-bottom: 1px solid var(--line); }
    header p { margin: 0; color: var(--dim); }
    h1 { font-size: 1.1rem; margin: 0; } h1 a { color: inherit; text-decoration: none; }
    h1 a:hover { text-decoration: underline; }
    .keys { margin-left: auto; font-size: .8rem; }
    kbd { font: inherit; border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; background: var(--card); }
    nav { display: flex; flex-direction: column; min-height: 0; border-right: 1px solid var(--line); }
    #search { margin: .7rem .7rem .3rem; padding: .45rem .6rem; font: inherit; color: inherit; background: var(--card);
      border: 1px solid var(--line); border-radius: 6px; }
    #found { margin: 0 .9rem .3rem; font-size: .8rem; color: var(--dim); }
    #types { list-style: none; margin: 0; padding: 0 .4rem; overflow-y: auto; flex: 1; }
    #types button { display: flex; width: 100%; gap: .5rem; padding: .2rem .5rem; border: 0; border-radius: 5px; font: inherit;
      color: inherit; background: none; text-align: left; cursor: pointer; }
    #types button:hover { background: var(--card); }
    #types button[aria-current] { background: var(--pick); color: var(--onpick); }
    #types .name { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    #types .absent .name { font-style: italic; }
    #types .count { font-variant-numeric: tabular-nums; font-size: .8rem; opacity: .7; white-space: nowrap; }
    nav label { padding: .6rem .9rem; border-top: 1px solid var(--line); font-size: .85rem; }
    main { position: relative; overflow: auto; scrollbar-gutter: stable; min-width: 0; }
    #legend { position: sticky; top: 0; left: 0; z-index: 1; margin: 0; height: 0; padding: .35rem .8rem; font-size: .8rem;
      color: var(--dim); pointer-events: none; white-space: nowrap; }
    .key { margin-right: 1rem; } .key::before { content: ""; display: inline-block; width: 1.4rem; margin-right: .35rem;
      border-top: 2px solid var(--dim); vertical-align: middle; }
    .key.in::before { border-color: var(--in); } .key.out::before { border-color: var(--out); }
    .key.spec::before { border-top-style: dashed; }
    .key.absent::before { height: .8rem; width: 1.2rem; border: 1px dotted var(--dim); border-radius: 3px; }
    svg { display: block; }
    svg text { fill: var(--ink); } svg .dim { fill: var(--dim); }
    svg g[tabindex] { cursor: pointer; } svg g[tabindex]:focus { outline: none; }
    svg g:focus-visible rect, #types button:focus-visible, #search:focus-visible, h1 a:focus-visible
      { outline: 2px solid var(--in); stroke: var(--in); stroke-width: 2; }
    svg g:focus-visible text { fill: var(--in); }
    .box rect { fill: var(--card); stroke: var(--line); } .box:hover rect { stroke: var(--ink); }
    .box.spec rect { stroke-dasharray: 5 3; } .box.absent rect { stroke-dasharray: 1 3; stroke: var(--dim); }
    .box.absent .type { font-style: italic; }
    .type { font-weight: 600; }
    .centre rect { fill: var(--pick); } .centre text, .centre .dim { fill: var(--onpick); }
    path { fill: none; stroke: var(--dim); }
    path.in { stroke: var(--in); } path.out { stroke: var(--out); } path.spec { stroke-dasharray: 5 4; }
    .focus path { stroke-opacity: .55; stroke-width: 1.3; } .focus path.lit { stroke-opacity: 1; stroke-width: 2.4; }
    .web path { stroke-opacity: var(--web); } .web path.spec { stroke-opacity: calc(var(--web) / 2); }
    .web.lit path { stroke-opacity: .03; } .web.lit path.lit { stroke-opacity: .85; stroke-width: 1.4; }
    .web text.lit { font-weight: 700; } .web.lit text { fill-opacity: .35; } .web.lit text.lit { fill-opacity: 1; }
    .web text.in { fill: var(--in); } .web text.out { fill: var(--out); }
    .web .absent text { font-style: italic; }
    #details:empty { display: none; } #details { padding: .5rem 1rem 2rem; max-width: 70rem; }
    #details h2 { font-size: 1rem; margin: 1rem 0 .3rem; }
    table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .2rem .8rem .2rem 0;
      border-bottom: 1px solid var(--line); vertical-align: top; } th { color: var(--dim); font-weight: 500; }
    #details a { color: var(--in); }
    @media (max-width: 46rem) { body { grid-template: auto 14rem minmax(0, 1fr) / minmax(0, 1fr); }
      nav { border-right: 0; border-bottom: 1px solid var(--line); } .keys, #legend { display: none; } }

    """#
}
