"""Who you are: institutions, token checks, identities, and the roster rows that they bind.

Guarantees: a person is one (issuer, subject) pair or several, never an e-mail address; what an institution says
counts only when its ID token passed every check, and only within the claims and domains that the catalogue gives it;
a login that was begun at one institution cannot end at another, in another browser, or twice.
"""
