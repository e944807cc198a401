CREATE SCHEMA ledger;
CREATE TABLE ledger.accounts (id bigserial PRIMARY KEY, name text NOT NULL, changed timestamptz);
CREATE FUNCTION ledger.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := now();  -- a semicolon; a percent sign: %
    RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON ledger.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.touch();
INSERT INTO ledger.accounts (name) VALUES ('cash'), ('50% off');
