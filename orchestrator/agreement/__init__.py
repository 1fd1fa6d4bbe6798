"""How far two scorers agree, whether people, rules or judges, and what a rate would be without its judge's errors."""
