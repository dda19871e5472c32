"""Merchants in the graph: shops, what they offer, and orders."""

from . import listings, orders
from .domain import merchants

__all__ = ["listings", "merchants", "orders"]
