import asyncio, ssl, sys
import asyncpg
port, token, ca, other = sys.argv[1:]

def connect(ca):
    return asyncpg.connect(host="localhost", port=int(port), user="x+orders-db", database="orders",
                           password=token, ssl=ssl.create_default_context(cafile=ca))

async def login(c): assert await c.fetchval("select 1") == 1
async def prepared(c):
    p = await c.prepare("select $1::int + 1")
    assert [await p.fetchval(n) for n in range(20)] == list(range(1, 21))
async def large(c): assert len(await c.fetchval("select repeat('z', 8388608)")) == 8388608
async def cancel(c):
    try: await c.fetchval("select pg_sleep(60)", timeout=1)
    except asyncio.TimeoutError: return await login(c)
    raise AssertionError("not cancelled")
async def verify_full(c):
    try: await connect(other)
    except ssl.SSLCertVerificationError: return
    raise AssertionError("trusted")

async def main():
    c = await connect(ca)
    for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
        try: await case(c); print(name, "ok")
        except Exception as e: print(name, "failed:", repr(e))

asyncio.run(main())
