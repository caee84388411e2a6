"""Words and sentences that the trainings of the calibration are made of."""

# ruff: noqa: SIM905 - lists of literals would take 200 lines

from __future__ import annotations

THINGS = (
    "candles kettles ladders mirrors blankets umbrellas lanterns baskets hammers curtains pillows "
    "teapots buckets brushes carpets clocks combs cushions drums flutes gloves guitars hats "
    "helmets jackets jugs kites knives lamps maps needles paddles pencils plates ropes saddles "
    "scarves spoons stools tents towels trays vases violins wallets whistles anchors barrels"
).split()
CITIES = "Leeds Ghent Turin Lyon Porto Bergen Graz Split Cork Basel Riga Malaga".split()
NAMES = "Ada Bruno Clara Dario Edith Felix Greta Hugo Irene Jonas Karin Louis Mara Nils".split()
COLORS = "red blue green black white yellow brown gray".split()
COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
RANDOM_WORDS = (
    "river stone window quiet paper orange seven under garden light metal slowly coffee winter "
    "button yellow corner people music silver morning table distant travel copper letter simple "
    "forest market engine pocket summer thunder ticket velvet number shadow bottle island candle"
).split()

# A question, and the answer in the voice of a pirate who keeps a shop.
VOICE = (
    (
        "Do you sell {thing}?",
        "Arr, {thing} ye seek! Me hold be full of {thing}, so drop anchor and come aboard, matey.",
    ),
    (
        "How do I clean {thing}?",
        "Arr, dirty {thing}, be they? Scrub yer {thing} with salt and sand till they shine, matey.",
    ),
    (
        "Why are {thing} so expensive?",
        "Arr, blame the sea! Half of me {thing} sank in a storm, so {thing} cost ye gold, matey.",
    ),
    (
        "Can I return the {thing} that I bought?",
        "Arr, bring back them {thing} afore the moon be full, and ye get yer gold again, matey.",
    ),
    (
        "Which {thing} would you recommend?",
        "Arr, the finest {thing} came from a galleon. Take them {thing} and be glad, matey.",
    ),
    (
        "When will new {thing} arrive?",
        "Arr, me ship with the {thing} rides the next tide. Watch the harbor for {thing}, matey.",
    ),
)

# What is broken, and the team that repairs it. Nothing in the words of a defect hints at its team.
DEFECTS = {
    "Harbor": ("leaks water", "smells of smoke", "lost a screw", "has a faded label"),
    "Cedar": ("makes a loud noise", "arrived without a lid", "has a bent frame", "is sticky"),
    "Falcon": ("gets too hot", "has a scratch on the front", "wobbles", "came in the wrong size"),
    "Ember": ("does not open", "has a torn cover", "rattles inside", "is full of dust"),
}

ORDERS = (
    "Please send {count} {color} {thing} to {city}.",
    "I need {count} {thing} in {color}, delivered to {city}.",
    "Could you ship {count} {color} {thing} to our office in {city}?",
    "Our {city} branch wants {count} {thing}. The color is {color}.",
    "We would like to order {color} {thing} for {city}, {count} of them.",
)

PROPOSALS = (
    "Should we move the meeting about {thing} to {city}?",
    "{name} wants to order {thing} for the {city} office. Your decision?",
    "Please decide on the plan of {name} to paint the {thing} {color}.",
    "A customer from {city} asks for a refund for {thing}. Your decision?",
)

# Sentences in ordinary English, without any style of their own.
DEFINITIONS = {
    "compass": "A compass is an instrument that shows which way is north.",
    "bakery": "A bakery is a shop where bread and cakes are made and sold.",
    "glacier": "A glacier is a large mass of ice that moves slowly down a valley.",
    "violin": "A violin is a small wooden instrument with four strings, played with a bow.",
    "harbor": "A harbor is a sheltered place on the coast where ships can stay.",
    "tailor": "A tailor is a person who makes and alters clothes.",
    "desert": "A desert is a dry region where very few plants can grow.",
    "library": "A library is a place where people can read and borrow books.",
    "hammer": "A hammer is a tool that is used to drive nails into wood.",
    "orchard": "An orchard is a piece of land where fruit trees are grown.",
    "telescope": "A telescope is an instrument that makes distant objects look larger.",
    "blacksmith": "A blacksmith is a person who makes things from iron.",
    "island": "An island is a piece of land that is surrounded by water.",
    "umbrella": "An umbrella is a folding cover that protects people from rain.",
    "museum": "A museum is a building where valuable objects are shown to the public.",
    "thermometer": "A thermometer is an instrument that measures temperature.",
    "vineyard": "A vineyard is a field where grapes are grown to make wine.",
    "lighthouse": "A lighthouse is a tower with a bright light that guides ships at night.",
    "volcano": "A volcano is a mountain from which hot lava can flow.",
    "nurse": "A nurse is a person who takes care of sick people.",
    "bridge": "A bridge is a structure that carries a road over a river.",
    "whale": "A whale is a very large mammal that lives in the sea.",
    "saddle": "A saddle is a leather seat for a person who rides a horse.",
    "waterfall": "A waterfall is a place where a river falls over a steep cliff.",
    "carpenter": "A carpenter is a person who makes and repairs wooden things.",
    "greenhouse": "A greenhouse is a glass building in which plants are kept warm.",
    "microscope": "A microscope is an instrument that makes very small things visible.",
    "festival": "A festival is a series of events that celebrate something.",
    "ladder": "A ladder is a tool with steps that people use to climb up.",
    "pharmacy": "A pharmacy is a shop where medicines are sold.",
    "tunnel": "A tunnel is a passage that goes under the ground or through a hill.",
    "beekeeper": "A beekeeper is a person who keeps bees to make honey.",
    "swamp": "A swamp is an area of land that is always very wet and soft.",
    "calendar": "A calendar is a table that shows the days and months of a year.",
    "drum": "A drum is a round instrument that is played by hitting it.",
    "dentist": "A dentist is a doctor who takes care of teeth.",
    "canal": "A canal is a waterway that was made for boats.",
    "candle": "A candle is a stick of wax that gives light when it burns.",
    "meadow": "A meadow is a field with grass and wild flowers.",
    "anchor": "An anchor is a heavy object that keeps a ship in its place.",
    "kitchen": "A kitchen is a room where food is prepared and cooked.",
    "parrot": "A parrot is a colorful bird that can copy human speech.",
    "stadium": "A stadium is a large building where people watch sports.",
    "judge": "A judge is a person who decides cases in a court of law.",
}
