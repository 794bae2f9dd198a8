"""The words of the simulated catalogue: categories, styles, brands and countries. No numbers are drawn here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BRAND_STEMS", "CATEGORIES", "COUNTRIES", "STYLES", "CategoryWords"]


@dataclass(frozen=True)
class CategoryWords:
    """One category: its nouns, a sentence for descriptions, a typical price, and how it behaves over time.

    `peak_day` is the day of the year of highest demand and `season` its amplitude in logits;
    `weekend` is added on Saturday and Sunday; `cycle_days` > 0 marks a consumable and says after how
    many days a household needs it again.
    """

    name: str
    nouns: tuple[str, ...]
    sentence: str
    price: float
    peak_day: int = 0
    season: float = 0.0
    weekend: float = 0.0
    cycle_days: int = 0


CATEGORIES: tuple[CategoryWords, ...] = (
    CategoryWords(
        "coffee and tea",
        ("Espresso Beans", "Filter Coffee", "Green Tea", "Chai Blend", "Cold Brew", "Herbal Infusion"),
        "Freshly roasted or dried for a warm cup",
        9.0,
        cycle_days=14,
    ),
    CategoryWords(
        "snacks",
        ("Oat Bar", "Salted Nuts", "Dark Chocolate", "Rice Crackers", "Dried Mango", "Popcorn"),
        "A bite between meals for the pantry",
        4.0,
        weekend=0.3,
        cycle_days=10,
    ),
    CategoryWords(
        "skincare",
        ("Face Cream", "Hand Balm", "Cleansing Oil", "Clay Mask", "Lip Care", "Body Lotion"),
        "Gentle care for the skin, morning and evening",
        16.0,
        cycle_days=28,
    ),
    CategoryWords(
        "household",
        ("Laundry Liquid", "Dish Soap", "Sponge Set", "Paper Towels", "Floor Cleaner", "Candle Refill"),
        "What a tidy home runs out of",
        7.0,
        cycle_days=21,
    ),
    CategoryWords(
        "pet food",
        ("Dry Dog Food", "Cat Pouches", "Training Treats", "Dental Sticks", "Bird Seed", "Kitten Milk"),
        "Complete feed for dogs, cats and birds",
        19.0,
        cycle_days=18,
    ),
    CategoryWords(
        "books",
        ("Novel", "Atlas", "Cook Book", "Poetry Volume", "Travel Guide", "Biography"),
        "Printed pages for the reading chair",
        15.0,
        peak_day=350,
        season=0.5,
    ),
    CategoryWords(
        "toys",
        ("Building Blocks", "Puzzle", "Board Game", "Plush Bear", "Train Set", "Craft Kit"),
        "Play for children and for rainy afternoons",
        22.0,
        peak_day=345,
        season=0.9,
        weekend=0.3,
    ),
    CategoryWords(
        "kitchenware",
        ("Saucepan", "Chef Knife", "Mixing Bowl", "Tea Pot", "Cutting Board", "Baking Tin"),
        "Tools for the cook at the stove",
        34.0,
    ),
    CategoryWords(
        "lighting",
        ("Table Lamp", "Pendant Light", "String Lights", "Desk Lamp", "Lantern", "Night Light"),
        "Light for dark corners and long evenings",
        48.0,
        peak_day=330,
        season=0.6,
    ),
    CategoryWords(
        "garden",
        ("Planter", "Watering Can", "Secateurs", "Seed Box", "Garden Bench", "Bird House"),
        "For beds, balconies and the lawn outside",
        29.0,
        peak_day=135,
        season=1.1,
        weekend=0.5,
    ),
    CategoryWords(
        "knitwear",
        ("Wool Jumper", "Scarf", "Cardigan", "Beanie", "Gloves", "Thick Socks"),
        "Knitted layers against the cold",
        42.0,
        peak_day=15,
        season=1.1,
    ),
    CategoryWords(
        "camping",
        ("Tent", "Sleeping Bag", "Hiking Flask", "Head Torch", "Camp Stove", "Rucksack"),
        "Gear for nights under the sky",
        65.0,
        peak_day=185,
        season=1.0,
        weekend=0.3,
    ),
)

# A style is a taste that crosses categories; its words appear in titles and descriptions.
STYLES: dict[str, tuple[str, ...]] = {
    "rustic": ("Rustic", "Farmhouse", "Weathered", "Handmade"),
    "modern": ("Modern", "Minimal", "Sleek", "Geometric"),
    "playful": ("Playful", "Colourful", "Quirky", "Cheerful"),
    "luxury": ("Luxury", "Gilded", "Velvet", "Signature"),
    "organic": ("Organic", "Natural", "Botanical", "Unbleached"),
    "vintage": ("Vintage", "Retro", "Antique", "Heirloom"),
    "sporty": ("Sporty", "Active", "Rugged", "Lightweight"),
    "cosy": ("Cosy", "Soft", "Snug", "Mellow"),
}

BRAND_STEMS: tuple[str, ...] = (
    "Alder", "Brook", "Cinder", "Dover", "Ember", "Fjord", "Grove", "Harbor", "Indigo", "Juniper",
    "Kestrel", "Linden", "Maple", "North", "Orchard", "Pebble", "Quill", "Robin", "Saffron", "Thistle",
)  # fmt: skip

# country → (share of users, timezone, hours ahead of UTC)
COUNTRIES: dict[str, tuple[float, str, int]] = {
    "GB": (0.38, "Europe/London", 0),
    "DE": (0.22, "Europe/Berlin", 1),
    "FR": (0.16, "Europe/Paris", 1),
    "US": (0.14, "America/New_York", -5),
    "JP": (0.10, "Asia/Tokyo", 9),
}
