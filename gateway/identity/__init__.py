"""Who asks: access tokens of an OpenID Connect issuer, tokens of the development issuer, and keys of partners."""
