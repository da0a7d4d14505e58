"""The probability that each inventory record is wrong. Uses numpy only; `scoring` also uses Arrow."""
