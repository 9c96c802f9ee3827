"""Blank nodes get labels that follow from what is said about them.

So the same file gives the same lines at every import, whatever its order or name; an export that is imported
and exported again gives the same bytes; and two sources never share a label by accident. Trees of blank nodes
(nearly all that people write: value objects, lists, references) are labelled by their path, in linear time;
shared and circular ones by colour refinement. RDFC-1.0, the standard way, is factorial at worst: 9
interchangeable nodes took pyoxigraph 27 s.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from pyoxigraph import BlankNode, Quad, Triple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Larger knots are numbered in the order of the file: equal up to isomorphism then, not to the byte.
_REFINED_NODES_MAX = 200

Labels: TypeAlias = "dict[BlankNode, BlankNode]"


def relabel(quads: Sequence[Quad]) -> tuple[Quad, ...]:
    """The same quads in the same order, blank nodes labelled by content."""
    labels = labels_of(quads)
    return tuple(renamed(quad, labels) for quad in quads) if labels else tuple(quads)


def labels_of(quads: Iterable[Quad]) -> Labels:
    """A new label for each blank node. Quads that hang together by blank nodes must be given together."""
    trees: list[Quad] = []
    labels: Labels = {}
    for component in _components(quads):
        if _is_tree(component):
            trees += component
        else:
            labels |= _knot_labels(component)
    return labels | _path_labels(trees)


def digest(*texts: str) -> str:
    """24 hex digits that stand for some texts."""
    return blake2b("\0".join(texts).encode(), digest_size=12).hexdigest()


def blank_nodes(quad: Quad) -> Iterator[BlankNode]:
    """Every blank node of a quad, those inside triple terms included."""
    for term in (quad.subject, quad.object, quad.graph_name):
        yield from _nodes_in(term)


def _nodes_in(term: object) -> Iterator[BlankNode]:
    if isinstance(term, BlankNode):
        yield term
    elif isinstance(term, Triple):
        yield from _nodes_in(term.subject)
        yield from _nodes_in(term.object)


def _components(quads: Iterable[Quad]) -> list[list[Quad]]:
    """Quads that hang together by blank nodes, each group in the order of the file; others are left out."""
    parent: dict[BlankNode, BlankNode] = {}

    def root(node: BlankNode) -> BlankNode:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = above
        return node

    with_nodes = [(quad, nodes) for quad in quads if (nodes := list(blank_nodes(quad)))]
    for _, nodes in with_nodes:
        for other in nodes[1:]:
            parent[root(other)] = root(nodes[0])
    groups: dict[BlankNode, list[Quad]] = defaultdict(list)
    for quad, nodes in with_nodes:
        groups[root(nodes[0])].append(quad)
    return list(groups.values())


def _is_tree(component: list[Quad]) -> bool:
    """True if every blank node is named at most once as an object, and nothing runs in a circle."""
    parents: dict[BlankNode, object] = {}
    for quad in component:
        if isinstance(quad.graph_name, BlankNode) or isinstance(quad.object, Triple):
            return False
        if isinstance(quad.object, BlankNode):
            if quad.object in parents:
                return False
            parents[quad.object] = quad.subject
    nodes = {node for quad in component for node in blank_nodes(quad)}
    # One parent each and no root means a circle; a component has one root, an IRI or a blank node.
    return len(parents) < len(nodes) or any(not isinstance(above, BlankNode) for above in parents.values())


def _path_labels(quads: list[Quad]) -> Labels:
    """Labels in trees: a hash of the parent's label, the predicate and what is below, and a number."""
    children: dict[object, list[Quad]] = defaultdict(list)
    below: set[BlankNode] = set()
    for quad in quads:
        children[quad.subject].append(quad)
        if isinstance(quad.object, BlankNode):
            below.add(quad.object)
    contents = _contents(children)
    labels: Labels = {}
    taken: Counter[str] = Counter()
    roots = [subject for subject in children if isinstance(subject, BlankNode) and subject not in below]
    for node in roots:
        labels[node] = _label(("", contents[node]), taken)
    queue = [subject for subject in children if not isinstance(subject, BlankNode)] + roots
    for subject in queue:  # grows while it is walked
        above = str(labels[subject]) if isinstance(subject, BlankNode) else str(subject)
        for quad in children[subject]:
            if isinstance(quad.object, BlankNode):
                step = (above, str(quad.predicate), str(quad.graph_name), contents[quad.object])
                labels[quad.object] = _label(step, taken)
                queue.append(quad.object)
    return labels


def _label(step: tuple[str, ...], taken: Counter[str]) -> BlankNode:
    """The label of a step; equal steps are interchangeable, so a number tells them apart."""
    name = digest(*step)
    taken[name] += 1
    return BlankNode(f"b{name}" if taken[name] == 1 else f"b{name}n{taken[name]}")


def _contents(children: dict[object, list[Quad]]) -> dict[BlankNode, str]:
    """For each blank node a hash of the tree below it. Not recursive: lists may be long."""
    contents: dict[BlankNode, str] = {}
    for start in [node for node in children if isinstance(node, BlankNode)]:
        stack = [start]
        while stack:
            node = stack[-1]
            inner = [quad.object for quad in children.get(node, ()) if isinstance(quad.object, BlankNode)]
            waiting = [other for other in inner if other not in contents]
            if waiting and node not in contents:
                stack.extend(waiting)
                continue
            stack.pop()
            if node not in contents:
                contents[node] = _content(children.get(node, ()), contents)
    for quads in list(children.values()):
        for quad in quads:
            if isinstance(quad.object, BlankNode):
                contents.setdefault(quad.object, _content((), contents))
    return contents


def _content(quads: Iterable[Quad], contents: dict[BlankNode, str]) -> str:
    lines: list[str] = []
    for quad in quads:
        end = contents[quad.object] if isinstance(quad.object, BlankNode) else str(quad.object)
        lines.append(f"{quad.predicate} {end} {quad.graph_name}")
    return digest(*sorted(lines))


def _knot_labels(component: list[Quad]) -> Labels:
    """Labels where blank nodes are shared, lie on a circle, stand in triple terms or as graph names.

    Nodes are told apart by their surroundings (colour refinement). Of those still alike one is marked,
    and the surroundings are looked at again.
    """
    order = list(dict.fromkeys(node for quad in component for node in blank_nodes(quad)))
    colours = dict.fromkeys(order, "")
    if len(order) <= _REFINED_NODES_MAX:
        colours = _refined(colours, component)
        while (alike := _first_alike(colours)) is not None:
            colours = _refined(colours | {alike: digest(colours[alike], "first")}, component)
        order.sort(key=lambda node: colours[node])
    numbers = {node: BlankNode(f"n{i}") for i, node in enumerate(order)}
    whole = digest(*sorted(str(renamed(quad, numbers)) for quad in component))
    return {node: BlankNode(f"b{whole}k{number.value}") for node, number in numbers.items()}


def _first_alike(colours: dict[BlankNode, str]) -> BlankNode | None:
    """The first node of the first colour that several nodes have."""
    many = [colour for colour, count in Counter(colours.values()).items() if count > 1]
    if not many:
        return None
    chosen = min(many)
    return next(node for node, colour in colours.items() if colour == chosen)


def _refined(colours: dict[BlankNode, str], component: list[Quad]) -> dict[BlankNode, str]:
    """Colours mixed with those of the neighbours until no more nodes are told apart."""
    about: dict[BlankNode, list[Quad]] = defaultdict(list)
    for quad in component:
        for node in set(blank_nodes(quad)):
            about[node].append(quad)
    while True:
        mixed = {node: digest(colours[node], *_surroundings(node, about[node], colours)) for node in colours}
        if len(set(mixed.values())) == len(set(colours.values())):
            return mixed
        colours = mixed


def _surroundings(node: BlankNode, about: list[Quad], colours: dict[BlankNode, str]) -> list[str]:
    names = {other: BlankNode("c" + colours[other]) for quad in about for other in blank_nodes(quad)}
    names[node] = BlankNode("self")
    return sorted(str(renamed(quad, names)) for quad in about)


def renamed(quad: Quad, labels: Labels) -> Quad:
    """The quad with other blank node labels."""
    if not any(True for _ in blank_nodes(quad)):
        return quad
    ends = (_term(quad.subject, labels), quad.predicate, _term(quad.object, labels))
    return Quad(*ends, _term(quad.graph_name, labels))


def _term(term: Any, labels: Labels) -> Any:
    if isinstance(term, BlankNode):
        return labels[term]
    if isinstance(term, Triple):
        return Triple(_term(term.subject, labels), term.predicate, _term(term.object, labels))
    return term
