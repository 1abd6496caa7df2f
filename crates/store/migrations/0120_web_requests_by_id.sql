-- What is old is found by its id, which begins with the time: one index less to keep for each request.
DROP INDEX web_requests_at;
