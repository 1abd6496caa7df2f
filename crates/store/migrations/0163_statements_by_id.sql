-- Ids of statements hold when they were sent, and what is old is found by them.
DROP INDEX statements_at;
