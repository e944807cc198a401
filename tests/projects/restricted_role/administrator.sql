CREATE ROLE reader;
CREATE SCHEMA accounts;
CREATE TABLE accounts.currencies (code text PRIMARY KEY);
