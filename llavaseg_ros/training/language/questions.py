"""Commands whose target is not there, plain questions, and small talk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from llavaseg_ros.training.language.commands import (
    ANY,
    Draft,
    ask,
    candidates,
    meaning,
    references,
    say_use,
    whereabouts,
)
from llavaseg_ros.training.language.lexicon import RELATIONS, Picker, Pool
from llavaseg_ros.training.language.places import nearest_in_relation
from llavaseg_ros.training.language.words import AT, NUMBERS, a, capital, listing, noun_phrase, reference, verb
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.training.scenes.catalog import held_out_pairs, load_catalog

MAX_COUNT = 5


def may_be_absent(head: Head, world: World) -> bool:
    """True when nothing in the scene, hidden or not, comes near to what `head` says.

    A mug is near to a cup, and an orange box near to a red one: a person might mean it, so the other is not called
    absent. Pairs of kind and color that training never shows are left out, or the model would learn that they never
    exist.
    """
    lexicon = world.lexicon
    if head.category and head.color and (head.category, head.color) in held_out_pairs():
        return False
    for thing in world.present:
        near_kind = (
            not head.category or thing.category == head.category or thing.category in lexicon.nouns[head.category].like
        )
        near_color = (
            not head.color or thing.color == head.color or frozenset((thing.color, head.color)) in lexicon.near_colors
        )
        if near_kind and near_color:
            return False
    return True


def _absent_head(world: World, rng: random.Random) -> Head:
    """A random thing to ask for, rather near to what is there: only `may_be_absent` says whether it can be used."""
    catalog, nouns = load_catalog(), list(world.lexicon.nouns)
    there = rng.choice(world.listed) if world.listed else None
    way = rng.random()
    if way < 0.35 and there is not None:
        # The right kind in a wrong color.
        colors = (
            catalog.categories[there.category].colors if there.category in catalog.categories else list(catalog.colors)
        )
        return Head(category=there.category, color=rng.choice(list(colors)))
    if way < 0.55 and there is not None:
        # A wrong kind in a color that is there.
        kinds = [c for c in nouns if c not in catalog.categories or there.color in catalog.categories[c].colors]
        return Head(category=rng.choice(kinds), color=there.color)
    if way < 0.65:
        return Head(color=rng.choice(list(catalog.colors)))
    return Head(category=rng.choice(nouns))


def absent_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """ "the banana" or "the blue mug" where there is none; "drive a nail" without a hammer. Endless but for crowded
    scenes.
    """
    lexicon = world.lexicon
    kinds = {t.category for t in world.present}
    for _ in range(60):
        if rng.random() < 0.12:
            name = rng.choice(list(lexicon.uses))
            use = lexicon.uses[name]
            head = Head(category=use.serves[0])
            if len(use.serves) > 1 or kinds & use.also.union(use.serves) or not may_be_absent(head, world):
                continue
            say, what = say_use(use, "", world), name
        else:
            head, what = _absent_head(world, rng), ""
            if not may_be_absent(head, world):
                continue
            say = ask(head, world)
        asked = a(head.says, head.category, lexicon)
        none = f"There {verb(head.category, lexicon)} no {head.says}."
        missing = f"I do not see {'any ' + asked if asked == head.says else asked}."
        yield Draft("absent", head.says, None, none, missing, say, meaning("absent", what, head))


def _question(what: str, answer: str, say: Callable[[Picker], str], head: Head = ANY, evidence: str = "") -> Draft:
    return Draft("question", "", None, answer, answer, say, meaning("question", what, head), evidence=evidence)


def _plural(head: Head, world: World) -> str:
    """ "mugs", "red things"; the commonest word, as counting is hard enough."""
    if head.category:
        noun = world.lexicon.nouns[head.category].plural
    else:
        noun = world.lexicon.groups[head.group].plural if head.group else "objects"
    return f"{head.color} {noun}".strip()


def countable(head: Head, world: World) -> int | None:
    """How many there are, or None where a half-hidden thing or a loose use of the word makes that a matter of taste."""
    lexicon = world.lexicon
    matches = world.matching(head)
    limit = MAX_COUNT if head != ANY else len(NUMBERS) - 1
    if not all(t.listed and head.means(t, lexicon) for t in matches) or len(matches) > limit:
        return None
    if not matches:
        return 0 if not (head.category or head.color) or may_be_absent(head, world) else None
    hidden = sum(head.may_mean(t, lexicon) for t in world.present) > len(matches)
    return None if hidden else len(matches)


def count_question(world: World, rng: random.Random) -> Draft | None:
    """ "How many mugs are there?": none to five; "how many objects?": all of them."""
    lexicon = world.lexicon
    way = rng.random()
    several = [h for h in world.heads() if h.category]
    if way < 0.35 and several:
        head = rng.choice(several)
    elif way < 0.55 and world.listed:
        head = Head(category=rng.choice(world.listed).category)
    elif way < 0.75 and world.listed:
        head = Head(color=rng.choice(world.listed).color)
    elif way < 0.80:
        head = Head(group=rng.choice(list(lexicon.groups)))
    elif way < 0.90:
        head = ANY
    else:
        head = Head(category=rng.choice(list(lexicon.nouns)))
    if head.category and lexicon.nouns[head.category].plural_only:
        return None
    number = countable(head, world)
    if number is None or (head.group and number == 0 and any(head.may_mean(t, lexicon) for t in world.present)):
        return None
    many = _plural(head, world)
    one = (
        head.says
        if not head.group
        else many.replace(lexicon.groups[head.group].plural, lexicon.groups[head.group].names.known[0])
    )
    answer = f"There is one {one}." if number == 1 else f"There are {NUMBERS[number]} {many}."
    asked = rng.choice((many, f"{head.color} things")) if head.color and not head.category else many
    evidence = candidates(head, world) if number else ""

    def say(picker: Picker) -> str:
        return picker.pick(lexicon.questions["count"]).format(plural=asked)

    return _question("count", answer, say, head, evidence)


def color_question(world: World, rng: random.Random) -> Draft | None:
    """ "What color is the mug?"."""
    lexicon = world.lexicon
    options = [t for t in world.listed if world.only(Head(category=t.category)) is t]
    if not options:
        return None
    thing = rng.choice(options)
    head = Head(category=thing.category)
    answer = f"The {thing.category} {verb(thing.category, lexicon)} {thing.color}."
    return _question("color", answer, _about(lexicon.questions["color"], head, world), head)


def _about(pool: Pool, head: Head, world: World) -> Callable[[Picker], str]:
    def say(picker: Picker) -> str:
        bare, a_form = noun_phrase(head, picker, world.lexicon, inner=True)
        return picker.pick(pool).format(the=f"the {bare}", a=a_form)

    return say


def is_there_question(world: World, rng: random.Random) -> Draft | None:
    """ "Is there a mug?": yes and no in equal parts."""
    lexicon = world.lexicon
    pool = lexicon.questions["is there"]
    if rng.random() < 0.5:
        for thing in rng.sample(world.listed, len(world.listed)):
            heads = [Head(t, c) for t, c in ((thing.category, ""), (thing.category, thing.color), ("", thing.color))]
            heads = [h for h in heads if world.only(h) is thing]
            if heads:
                head = rng.choice(heads)
                answer = f"Yes, there {verb(thing.category, lexicon)} {a(thing.name, thing.category, lexicon)}."
                return _question("is there", answer, _about(pool, head, world), head)
        return None
    for _ in range(20):
        head = _absent_head(world, rng)
        if may_be_absent(head, world):
            return _question(
                "is there", f"No, there {verb(head.category, lexicon)} no {head.says}.", _about(pool, head, world), head
            )
    return None


def beside_question(world: World, rng: random.Random) -> Draft | None:
    """ "What is left of the bowl?"."""
    lexicon = world.lexicon
    options = [(ref, colored, relation) for ref, colored in references(world) for relation in RELATIONS]
    rng.shuffle(options)
    for ref, colored, relation in options:
        thing = nearest_in_relation(world.shown, relation, ref)
        if thing is None or not thing.listed:
            continue

        def say(picker: Picker, ref: Thing = ref, colored: bool = colored, relation: str = relation) -> str:
            named = reference(ref, colored or picker.rng.random() < 0.3, picker, lexicon)
            return picker.pick(lexicon.questions["beside"]).format(
                rel=picker.pick(lexicon.relations[relation]), ref=named
            )

        answer = f"{capital(relation)} the {ref.name} {verb(thing.category, lexicon)} the {thing.name}."
        return Draft(
            "question",
            "",
            None,
            answer,
            answer,
            say,
            ("question", "beside", "", "", "", str(ref.id), relation, str(thing.id)),
            evidence=whereabouts(ref, world),
        )
    return None


def where_question(world: World, rng: random.Random) -> Draft | None:
    """ "On which side is the mug?": one of nine places."""
    lexicon = world.lexicon
    options = references(world)
    if not options:
        return None
    thing, colored = rng.choice(options)
    head = Head(category=thing.category, color=thing.color if colored or rng.random() < 0.5 else "")
    answer = f"The {thing.name} {verb(thing.category, lexicon)} {AT[thing.location]}."
    return _question("where", answer, _about(lexicon.questions["where"], head, world), head)


def list_question(world: World, rng: random.Random) -> Draft | None:
    """ "What do you see?"."""
    del rng
    return _question("list", listing(world.listed, world.lexicon), lambda p: p.pick(world.lexicon.questions["list"]))


def talk_question(world: World, rng: random.Random) -> Draft | None:
    """Small talk; the image does not matter."""
    name = rng.choice(list(world.lexicon.talk))
    talk = world.lexicon.talk[name]
    return Draft(
        "question",
        "",
        None,
        talk.reply,
        talk.reply,
        lambda p: p.pick(talk.says),
        ("question", "talk", "", "", "", "", name),
    )


QUESTION_MAKERS: dict[str, Callable[[World, random.Random], Draft | None]] = {
    "count": count_question,
    "color": color_question,
    "is there": is_there_question,
    "beside": beside_question,
    "where": where_question,
    "list": list_question,
    "talk": talk_question,
}


def question_drafts(world: World, rng: random.Random) -> Iterator[Draft]:
    """Questions of all sorts by their shares."""
    shares = world.lexicon.question_shares
    sorts, weights = list(shares), list(shares.values())
    for _ in range(60):
        draft = QUESTION_MAKERS[rng.choices(sorts, weights)[0]](world, rng)
        if draft is not None:
            yield draft
