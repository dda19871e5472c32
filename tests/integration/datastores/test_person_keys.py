"""Keys of people: made once, wrapped under the master key, remembered for a while, and destroyed for ever."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from datastores.errors import UnauthenticatedError
from datastores.mongo import Database
from datastores.person_keys import REMEMBERED_S, PersonKeys, destroy_key, sealed_text
from datastores.sealing import SealingKey, WrongKeyError, check_master_key

NOW = datetime(2026, 5, 1)
MASTER = SealingKey.generate()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_however_many_ask_at_once_a_person_has_one_key(database: Database) -> None:
    processes = [PersonKeys(MASTER) for _ in range(8)]

    made = await asyncio.gather(*(keys.key(database, "usr_ann", NOW) for keys in processes))

    assert len({key.raw for key in made}) == 1
    assert (await processes[0].key(database, "usr_ben", NOW)).raw != made[0].raw


async def test_the_key_lies_wrapped_and_another_master_key_does_not_unwrap_it(database: Database) -> None:
    key = await PersonKeys(MASTER).key(database, "usr_ann", NOW)
    (stored,) = await database.find("person_keys", {}, limit=2)

    assert key.raw not in stored["wrapped"]
    with pytest.raises(WrongKeyError):
        await PersonKeys(SealingKey.generate()).keys(database, ["usr_ann"])


async def test_texts_of_several_people_are_opened_by_one_read(database: Database) -> None:
    keys = PersonKeys(MASTER)
    texts = [
        sealed_text(f"of {person}".encode(), person, await keys.key(database, person, NOW))
        for person in ("usr_ann", "usr_ben", "usr_ann")
    ]

    opened = await PersonKeys(MASTER).open(database, [*texts, None])

    assert opened == [b"of usr_ann", b"of usr_ben", b"of usr_ann", None]


async def test_a_text_cannot_be_passed_off_as_somebody_elses(database: Database) -> None:
    keys = PersonKeys(MASTER)
    text = sealed_text(b"mine", "usr_ann", await keys.key(database, "usr_ann", NOW))
    await keys.key(database, "usr_ben", NOW)

    with pytest.raises(WrongKeyError):
        await keys.open(database, [{**text, "person_id": "usr_ben"}])


async def test_a_destroyed_key_is_gone_for_ever_and_in_every_process_soon(database: Database) -> None:
    clock = Clock()
    keys = PersonKeys(MASTER, clock=clock)
    text = sealed_text(b"mine", "usr_ann", await keys.key(database, "usr_ann", NOW))

    await destroy_key(database, "usr_ann", NOW)
    await destroy_key(database, "usr_ann", datetime(2026, 6, 1))

    assert await PersonKeys(MASTER).open(database, [text]) == [None]
    assert await keys.open(database, [text]) == [b"mine"]
    clock.now = REMEMBERED_S
    assert await keys.open(database, [text]) == [None]
    with pytest.raises(UnauthenticatedError, match="erased"):
        await keys.key(database, "usr_ann", NOW)
    (stored,) = await database.find("person_keys", {}, limit=2)
    assert (stored["wrapped"], stored["created_at"], stored["destroyed_at"]) == (None, NOW, NOW)


async def test_who_never_had_a_key_gets_none_after_it_was_destroyed(database: Database) -> None:
    await destroy_key(database, "usr_eve", NOW)

    with pytest.raises(UnauthenticatedError):
        await PersonKeys(MASTER).key(database, "usr_eve", NOW)


async def test_a_database_is_sealed_under_one_master_key(database: Database) -> None:
    await check_master_key(database, MASTER)
    await check_master_key(database, MASTER)

    with pytest.raises(WrongKeyError, match="AGORA_MASTER_KEY"):
        await check_master_key(database, SealingKey.generate())
