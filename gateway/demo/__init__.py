"""The demo town: its people, what they say and sell, and how they go about their day."""
