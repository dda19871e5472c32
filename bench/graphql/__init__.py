"""Agora beside other GraphQL servers, over the documents of one town."""
