import asyncio, io, ssl, sys
import asyncpg

port, token, ca = sys.argv[1:]


async def main():
    context = ssl.create_default_context(cafile=ca)
    base = dict(host="localhost", port=int(port), user="reporting+orders-db", database="orders",
                password=token, ssl=context)
    c = await asyncpg.connect(**base)
    assert await c.fetchval("select 1") == 1
    s = await c.prepare("select $1::int + 1")
    for n in range(50):
        assert await s.fetchval(n) == n + 1
    await c.execute("create temp table t (a int, b text)")
    await c.executemany("insert into t values ($1, $2)", [(n, "x") for n in range(1000)])
    assert await c.fetchval("select count(*) from t") == 1000
    await c.copy_records_to_table("t", records=[(n, "y") for n in range(5000)])
    out = io.BytesIO()
    await c.copy_from_query("select * from t", output=out)
    assert out.getvalue().count(b"\n") == 6000
    async with c.transaction():
        assert len([r async for r in c.cursor("select * from generate_series(1, 3000)")]) == 3000
    assert len(await c.fetchval("select repeat('z', 20000000)")) == 20000000
    got = asyncio.Queue()
    await c.add_listener("news", lambda *a: got.put_nowait(a[-1]))
    await c.execute("notify news, 'hello'")
    assert await asyncio.wait_for(got.get(), 10) == "hello"
    # What times out is cancelled at the server.
    try:
        await c.fetchval("select pg_sleep(60)", timeout=1)
        raise SystemExit("not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await c.fetchval("select 7") == 7
    try:
        await c.execute("select 1/0")
        raise SystemExit("no error")
    except asyncpg.DivisionByZeroError:
        pass
    await c.close()
    async with asyncpg.create_pool(**base, min_size=5, max_size=5) as pool:
        assert await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(200))) == list(range(200))


asyncio.run(main())
print("done")
