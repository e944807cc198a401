-- Rows for the rehearsals. Before the first release there are no tables to put them into.
DO $$
BEGIN
    IF to_regclass('orders') IS NOT NULL THEN
        INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 20) AS n;
        INSERT INTO orders (reference, customer_id, total)
        SELECT 'seed-' || n, 1 + n % 20, n FROM generate_series(1, 200) AS n;
    END IF;
END $$;
