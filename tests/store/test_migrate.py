from sqlalchemy import text

from kirzl_lab.store.database import Store


async def test_fresh_database_answers(any_store: Store) -> None:
    async with any_store.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM persons"))).scalar() == 0
