CREATE TABLE tenants (name text PRIMARY KEY);
INSERT INTO tenants VALUES ('north'), ('south');
CREATE SCHEMA north;
CREATE SCHEMA south;
