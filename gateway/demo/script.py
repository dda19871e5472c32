"""Who lives in the demo town, what they say, and what they sell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Resident:
    """A person of the town. The first three are the ones that documentation speaks of."""

    handle: str
    name: str
    bio: str
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Ware:
    """Something that a shop offers; the price in major units of the shop's currency, no stock for what has none."""

    title: str
    description: str
    category: str
    kind: str
    price: str
    stock: int | None = None


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant of the town and what it offers."""

    owner: str
    name: str
    description: str
    currency: str
    wares: tuple[Ware, ...]


RESIDENTS: Final = (
    Resident("alice", "Alice Moreau", "Baker's daughter, bridge engineer, terrible at chess.", verified=True),
    Resident("bob", "Bob Lindqvist", "I fix bicycles and opinions. Usually the former."),
    Resident("carol", "Carol Okafor", "Potter. Carol's Kiln, on the square since 2019.", verified=True),
    Resident("dave", "Dave Nakamura", "Roasts coffee, runs marathons, in that order."),
    Resident("erin", "Erin Castellanos", "Teaches maths. Ask me about primes."),
    Resident("faythe", "Faythe Andersson", "Night-shift nurse and amateur astronomer."),
    Resident("grace", "Grace Mbeki", "Compilers by day, choir by night.", verified=True),
    Resident("heidi", "Heidi Brunner", "Alpine guide. The mountain is always right."),
    Resident("ivan", "Ivan Petrov", "Second-hand books, first-hand stories."),
    Resident("judy", "Judy Tremblay", "Judge at the county court. Likes dogs."),
    Resident("kofi", "Kofi Asante", "Gardener of the botanic garden."),
    Resident("lena", "Lena Vogel", "Cellist. Practises when you sleep, sorry."),
    Resident("mallory", "Mallory Quinn", "Penetration tester. Yes, really."),
    Resident("niaj", "Niaj Rahman", "Cooks for forty every Friday."),
    Resident("olivia", "Olivia Santos", "Photographs doors."),
    Resident("peggy", "Peggy O'Neill", "Runs the post office. Knows everyone."),
    Resident("quentin", "Quentin Dubois", "Translates poems nobody asked for."),
    Resident("rupert", "Rupert Hale", "Keeps bees on the town hall's roof."),
    Resident("sybil", "Sybil Haddad", "Many accounts, one heart."),
    Resident("trent", "Trent Weaver", "Notary. You may trust me."),
    Resident("uma", "Uma Krishnan", "Marine biologist, two hours from the sea."),
    Resident("victor", "Victor Almeida", "Ferry captain on the river line."),
    Resident("wendy", "Wendy Park", "Draws comics about commas."),
    Resident("yara", "Yara Haidar", "Architect of small houses."),
)

REMARKS: Final = (
    "The market is open until six today. Bring your own bag.",
    "Somebody left a blue umbrella at the ferry. It misses you.",
    "First frost on the allotments this morning. #garden",
    "Does anyone have a 15 mm spanner I can borrow until tomorrow?",
    "Today's loaf came out exactly as I hoped. That never happens. #bread",
    "Choir rehearsal moved to Thursday. Altos, we need you. #music",
    "The new bridge opens on Saturday. Walk it before the cars do. #bridge",
    "Saw a kingfisher by the mill. Nobody will believe me. #river",
    "Reading the fourth book of a trilogy. #books",
    "Whoever plays the cello at night on Mill Lane: encore, please. #music",
    "Coffee, fresh from the roaster, still too warm to sell. #coffee",
    "A proof that fits on a napkin is still a proof. #maths",
    "The bees have moved in on the roof. Please wave, do not swat. #bees",
    "Forty plates tonight, two helpers missing. Anyone? #friday",
    "Clear sky tonight: Saturn is out just after nine. #stars",
    "I photographed the green door again. It is a different green. #doors",
    "Lost: one glove, left. Found: one glove, right. Coincidence?",
    "The ferry runs every twenty minutes again. #river",
    "Repaired six bicycles before lunch. Seven was the goal. #bicycles",
    "Rain until noon, then excuses are over. #marathon",
    "My neighbour's goat has opinions about my hedge.",
    "Tiny house number nine has a roof now. #houses",
    "If you can read this, the library's printer works again. #books",
    "Who else is for a swim in the lake before work? #river",
)

REPLIES: Final = (
    "Count me in.",
    "I was just about to say the same.",
    "Best news of the day.",
    "Can you bring it to the square at five?",
    "You have my vote.",
    "Pictures, please!",
    "Ask @peggy, she knows everyone.",
    "That explains a lot.",
)

CHAT: Final = (
    ("bob", "Your bike is ready. New chain, and the bell works again."),
    ("alice", "You are a hero. What do I owe you?"),
    ("bob", "Twenty-four fifty, and a loaf if you bake this week."),
    ("alice", "Deal. Coffee on Saturday, before the bridge opens?"),
    ("bob", "Ten o'clock at Dave's. I'll bring Erin."),
)

SUPPER: Final = (
    ("niaj", "Friday: lentils, flatbread, forty of us. Who brings what?"),
    ("alice", "Bread. Obviously."),
    ("dave", "Coffee for after."),
    ("carol", "Bowls. They are all slightly crooked, that is the charm."),
    ("lena", "I'll play if somebody else washes up."),
    ("bob", "I wash up. My hands are already a lost cause."),
)

SHOPS: Final = (
    Shop(
        "carol",
        "Carol's Kiln",
        "Stoneware for every day, thrown and fired on the square.",
        "EUR",
        (
            Ware(
                "Blue breakfast bowl", "Holds porridge for one, or soup for the brave.", "pottery", "GOOD", "18.50", 24
            ),
            Ware("Speckled mug", "0.3 litres, a handle for the whole hand.", "pottery", "GOOD", "14.00", 40),
            Ware("Teapot for two", "Does not drip. We checked.", "pottery", "GOOD", "46.00", 6),
            Ware("Plate, slightly crooked", "No two alike; none quite round.", "pottery", "GOOD", "12.00", 60),
            Ware("Wheel-throwing lesson", "Two hours, clay included, aprons provided.", "lessons", "SERVICE", "55.00"),
            Ware("Glaze recipes", "Twelve glazes as a PDF, with photographs.", "books", "DIGITAL", "9.00"),
        ),
    ),
    Shop(
        "dave",
        "Fourth Crack",
        "Coffee, roasted on Tuesdays.",
        "EUR",
        (
            Ware("House blend, 250 g", "Chocolate, hazelnut, no surprises.", "coffee", "GOOD", "8.90", 120),
            Ware("Yirgacheffe, 250 g", "Lemon and bergamot; drink it black.", "coffee", "GOOD", "11.40", 45),
            Ware("Barista evening", "Three hours, eight people, too much caffeine.", "lessons", "SERVICE", "39.00"),
        ),
    ),
    Shop(
        "ivan",
        "Petrov's Second Pages",
        "Second-hand books with first-hand notes in the margins.",
        "EUR",
        (
            Ware("A mystery, wrapped", "You learn which one at home.", "books", "GOOD", "6.00", 30),
            Ware("Atlas of rivers", "1974; some rivers have moved.", "books", "GOOD", "22.00", 1),
            Ware("Poems, by the metre", "One metre of poetry, mixed.", "books", "GOOD", "35.00", 3),
        ),
    ),
)

PARTNER: Final = "pay-watch"
PURSES: Final = {"alice": ("820.00", "EUR"), "bob": ("340.00", "EUR"), "carol": ("1250.00", "EUR")}
FOREIGN_PURSES: Final = {"alice": (("64.00", "USD"), ("12000", "JPY")), "bob": (("55.00", "USD"), ("8000", "JPY"))}
DEFAULT_PURSE: Final = ("200.00", "EUR")
