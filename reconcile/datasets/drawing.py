"""Draw synthetic bins with fabric, elastic bands, boxes, books, bottles and bags.

Drawings are for demos, tests and a part of the training images. Accuracy is never measured on drawings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    import random


WIDTH, HEIGHT = 448, 352
_FLOOR = 300
"""The y of the bin's floor, in pixels."""
_LEFT, _RIGHT = 34, 414
"""The x of the inner walls, in pixels."""

Colour = tuple[int, int, int]

_FABRIC: tuple[Colour, ...] = ((196, 178, 110), (186, 170, 112), (205, 186, 120), (170, 156, 108))
_BODIES: tuple[Colour, ...] = (
    (158, 118, 82), (178, 138, 98), (62, 66, 80), (216, 210, 198), (150, 44, 48), (52, 84, 138),
    (74, 122, 86), (214, 128, 52), (122, 92, 138), (232, 226, 220), (40, 112, 120), (204, 176, 60),
)  # fmt: skip
_LABELS: tuple[Colour, ...] = ((196, 74, 62), (58, 62, 92), (92, 142, 184), (226, 146, 74), (84, 122, 90))


@dataclass(frozen=True)
class Product:
    """A drawn product of the catalogue."""

    asin: str
    name: str
    shape: str
    """box, book, bottle or bag."""
    body: Colour
    width: float
    """In inches."""
    height: float
    """In inches."""


_NAMES = {
    "box": (
        "Shoe Box",
        "Toaster, 2 Slices",
        "Board Game",
        "Desk Lamp",
        "Coffee Filters, 100 Pack",
        "Puzzle, 500 Pieces",
    ),
    "book": ("Field Guide to Birds", "Cookbook: One Pot", "Notebook, Ruled", "Atlas of Rivers", "Crosswords, Volume 4"),
    "bottle": ("Shampoo, 12 oz", "Olive Oil", "Dish Soap", "Water Bottle, Steel", "Maple Syrup"),
    "bag": ("Cotton T-Shirt", "Wool Socks, 3 Pairs", "Cat Litter Scoop", "USB Cable, 6 ft", "Yoga Strap"),
}
_SIZES = {"box": (64, 120, 62, 150), "book": (20, 40, 110, 190), "bottle": (32, 48, 96, 168), "bag": (74, 128, 54, 110)}
_PIXELS_PER_INCH = 16.0


def draw_catalogue(rng: random.Random, products: int) -> list[Product]:
    """Invent products, each with its own look.

    Args:
        rng: decides shapes, names, colours and sizes.
        products: the number of products.
    """
    catalogue = []
    for number in range(products):
        shape = rng.choice(("box", "box", "book", "bottle", "bag"))
        narrow, wide, low, high = _SIZES[shape]
        catalogue.append(
            Product(
                asin=f"DRAWN{number:05d}",
                name=rng.choice(_NAMES[shape]),
                shape=shape,
                body=_jitter(rng, rng.choice(_BODIES), 22),
                width=rng.uniform(narrow, wide) / _PIXELS_PER_INCH,
                height=rng.uniform(low, high) / _PIXELS_PER_INCH,
            )
        )
    return catalogue


def draw_bin(rng: random.Random, items: list[Product]) -> Image.Image:
    """Draw one bin that holds exactly `items`. Each item is at least partly visible.

    Args:
        rng: decides positions, light and everything else that is random.
        items: the products in the bin, once for each item.

    Returns:
        an RGB image of 448 x 352 pixels.
    """
    fabric = _jitter(rng, rng.choice(_FABRIC), 14)
    image = _empty_bin(rng, fabric)
    for sprite, x, y in _arrange(rng, items):
        image.paste(sprite, (x, y), sprite)
    _bands(rng, image)
    _rim(rng, image, fabric)
    return _photograph(rng, image)


def _empty_bin(rng: random.Random, fabric: Colour) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), _shade(fabric, 0.9))
    draw = ImageDraw.Draw(image)
    inner = (_LEFT + 34, 58, _RIGHT - 34, _FLOOR - 34)
    draw.polygon([(0, 0), inner[:2], (inner[0], inner[3]), (0, HEIGHT)], fill=_shade(fabric, 0.72))
    draw.polygon([(WIDTH, 0), (inner[2], inner[1]), inner[2:], (WIDTH, HEIGHT)], fill=_shade(fabric, 0.66))
    draw.polygon([(0, HEIGHT), (inner[0], inner[3]), inner[2:], (WIDTH, HEIGHT)], fill=_shade((150, 146, 140), 0.9))
    draw.rectangle(inner, fill=_shade(fabric, rng.uniform(0.55, 0.8)))
    for _ in range(5):  # folds of the fabric
        x = rng.randint(inner[0], inner[2])
        draw.line([(x, inner[1]), (x + rng.randint(-14, 14), inner[3])], fill=_shade(fabric, 0.62), width=3)
    return image.filter(ImageFilter.GaussianBlur(2))


def _arrange(rng: random.Random, items: list[Product]) -> list[tuple[Image.Image, int, int]]:
    """Arrange items in up to three rows, the back row first, so that items in front leave the others visible."""
    order = list(items)
    rng.shuffle(order)
    rows = 1 if len(order) <= 3 else 2 if len(order) <= 8 else 3
    placed = []
    for row in range(rows):
        members = order[row::rows]
        floor = _FLOOR - (rows - 1 - row) * 46
        slot = (_RIGHT - _LEFT) / max(len(members), 1)
        for position, product in enumerate(members):
            scale = min(1.0, slot * 1.25 / (product.width * _PIXELS_PER_INCH)) * rng.uniform(0.9, 1.05)
            if row == rows - 1 and rows > 1:
                scale *= 0.72  # the front row is low, so that the back row is visible above it
            sprite = _sprite(rng, product, scale)
            free = max(slot - sprite.width, -slot * 0.15)
            x = _LEFT + slot * position + free * rng.uniform(0.15, 0.85)
            placed.append((sprite, round(x), floor - sprite.height + rng.randint(-2, 4)))
    return placed


def _sprite(rng: random.Random, product: Product, scale: float) -> Image.Image:
    width = max(14, round(product.width * _PIXELS_PER_INCH * scale))
    height = max(20, round(product.height * _PIXELS_PER_INCH * scale))
    sprite = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(sprite)
    {"box": _box, "book": _book, "bottle": _bottle, "bag": _bag}[product.shape](rng, draw, width, height, product.body)
    tilt = rng.gauss(0, 5 if product.shape in ("box", "bottle") else 9)
    return sprite.rotate(tilt, resample=Image.Resampling.BICUBIC, expand=True)


def _box(rng: random.Random, draw: ImageDraw.ImageDraw, width: int, height: int, body: Colour) -> None:
    lid = max(4, height // 8)
    draw.rectangle((0, lid, width - 1, height - 1), fill=body, outline=_shade(body, 0.5), width=2)
    draw.polygon([(0, lid), (width // 10, 0), (width - 1, 0), (width - 1, lid)], fill=_shade(body, 1.25))
    if rng.random() < 0.7:  # a shipping label with its barcode
        x, y = width * rng.uniform(0.15, 0.4), lid + height * rng.uniform(0.15, 0.4)
        draw.rectangle((x, y, x + width * 0.4, y + height * 0.26), fill=(238, 236, 230))
        for bar in range(6):
            left = x + width * (0.05 + 0.05 * bar)
            draw.line([(left, y + 3), (left, y + height * 0.2)], fill=(30, 30, 30), width=rng.choice((1, 2)))
    else:  # packing tape
        draw.rectangle((0, height * 0.48, width - 1, height * 0.56), fill=_shade(body, 1.15))


def _book(rng: random.Random, draw: ImageDraw.ImageDraw, width: int, height: int, body: Colour) -> None:
    draw.rectangle((0, 0, width - 1, height - 1), fill=body, outline=_shade(body, 0.45), width=2)
    ink = (240, 236, 224) if sum(body) < 380 else (40, 36, 34)
    for y in (0.12, 0.16, 0.8):
        draw.line([(3, height * y), (width - 4, height * y)], fill=ink, width=2)
    draw.rectangle((width * 0.35, height * 0.28, width * 0.62, height * rng.uniform(0.5, 0.7)), fill=ink)


def _bottle(rng: random.Random, draw: ImageDraw.ImageDraw, width: int, height: int, body: Colour) -> None:
    neck = height * 0.24
    draw.rounded_rectangle(
        (0, neck, width - 1, height - 1), radius=width // 4, fill=body, outline=_shade(body, 0.5), width=2
    )
    draw.rectangle((width * 0.32, 2, width * 0.68, neck + 4), fill=_shade(body, 0.7))
    draw.rectangle((2, height * 0.45, width - 3, height * rng.uniform(0.7, 0.8)), fill=(236, 232, 222))
    draw.line([(width * 0.22, neck + 8), (width * 0.22, height * 0.4)], fill=_shade(body, 1.5), width=3)


def _bag(rng: random.Random, draw: ImageDraw.ImageDraw, width: int, height: int, body: Colour) -> None:
    outline = []
    for step in range(24):
        angle = 2 * math.pi * step / 24
        reach = rng.uniform(0.86, 1.0)
        # The outline is a superellipse, because a stuffed bag is rounder than a box and squarer than a ball.
        cos, sin = math.cos(angle), math.sin(angle)
        outline.append(
            (
                width / 2 + reach * width / 2 * math.copysign(abs(cos) ** 0.6, cos),
                height / 2 + reach * height / 2 * math.copysign(abs(sin) ** 0.6, sin),
            )
        )
    draw.polygon(outline, fill=body, outline=_shade(body, 0.5))
    for _ in range(4):  # creases and reflections of the plastic
        x, y = rng.uniform(0.2, 0.7) * width, rng.uniform(0.2, 0.7) * height
        tone = _shade(body, rng.choice((0.7, 1.4)))
        draw.line([(x, y), (x + width * 0.2, y + rng.uniform(-0.2, 0.2) * height)], fill=tone, width=2)


def _bands(rng: random.Random, image: Image.Image) -> None:
    """Draw elastic bands across the front: bundles of pale threads that half hide the items behind them."""
    veil = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(veil)
    thread = _jitter(rng, (206, 198, 184), 16)
    for centre in rng.sample((86, 150, 214, 268), rng.choice((1, 2, 2, 3))):
        bend = rng.uniform(-10, 10)
        for offset in range(-18, 19, 5):
            y = centre + offset
            draw.line([(0, y), (WIDTH / 2, y + bend), (WIDTH, y)], fill=(*thread, rng.randint(70, 150)), width=2)
    image.paste(veil, (0, 0), veil)


def _rim(rng: random.Random, image: Image.Image, fabric: Colour) -> None:
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, _FLOOR + 14, WIDTH, HEIGHT), fill=_shade(fabric, 1.1))
    draw.rectangle((0, 0, WIDTH, 16), fill=_shade(fabric, 1.05))
    for edge in (0, WIDTH - 20):
        draw.rectangle((edge, 0, edge + 20, HEIGHT), fill=_shade(fabric, 1.0))
    left = rng.randint(150, 210)
    draw.rectangle((left, _FLOOR + 20, left + 84, _FLOOR + 44), fill=rng.choice(_LABELS))
    draw.text((left + 10, _FLOOR + 26), f"{rng.randint(1, 4)}{rng.choice('ABCDEFGH')}", fill=(245, 245, 240))
    for _ in range(26):  # the label's matrix code
        x, y = left + 54 + rng.randint(0, 10) * 2, _FLOOR + 23 + rng.randint(0, 8) * 2
        draw.rectangle((x, y, x + 1, y + 1), fill=(250, 250, 250))


def _photograph(rng: random.Random, image: Image.Image) -> Image.Image:
    """Add uneven light and a little blur, as a camera does."""
    light = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(image.size)
    dimming = rng.uniform(0.6, 0.85)
    dark = image.point([round(value * dimming) for value in range(256)] * 3)
    return Image.composite(image, dark, light).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


def _jitter(rng: random.Random, colour: Colour, spread: int) -> Colour:
    red, green, blue = (max(0, min(255, channel + rng.randint(-spread, spread))) for channel in colour)
    return red, green, blue
