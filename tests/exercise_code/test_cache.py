"""The cache of decoded image folders."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exercise_code.data import DataLoader, ImageFolderDataset, cache
from exercise_code.data.readers import read_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache, on the disk and in this program."""
    monkeypatch.setenv("DATASETS_CACHE", str(tmp_path / "cache"))
    cache._read_once.cache_clear()
    yield tmp_path / "cache"
    cache._read_once.cache_clear()


@pytest.fixture
def photos(tmp_path):
    """Two classes of six images, 5 x 7 pixels of noise."""
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            save(tmp_path / "photos" / kind / f"{i}.png", rng.integers(256, size=(5, 7, 3), dtype=np.uint8))
    return tmp_path / "photos"


def save(path, pixels):
    Image.fromarray(pixels).save(path)


def read_afresh(folder, **settings):
    """Read as a program does that has just started."""
    cache._read_once.cache_clear()
    return cache.read_images(folder, **settings)


def forbid_decoding(monkeypatch):
    def decode(*args, **settings):
        raise AssertionError("image files were decoded")

    monkeypatch.setattr(cache, "read_folder", decode)


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[2] == expected[2]
    assert found[0].dtype == np.uint8
    assert found[1].dtype == np.int64


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def entries(place):
    return sorted(path for path in place.glob("*/*") if path.is_dir())


def test_the_second_program_decodes_nothing_and_sees_the_same_through_a_read_only_map(photos, monkeypatch):
    first = read_afresh(photos)
    forbid_decoding(monkeypatch)

    second = read_afresh(photos)

    assert_same(first, read_folder(photos))
    assert_same(second, first)
    for images in (first[0], second[0]):
        assert is_mapped(images)
        assert type(images) is np.ndarray
        assert not images.flags.writeable


def test_nothing_is_written_into_the_folder_of_the_images(photos, place):
    before = cache.fingerprint(photos)

    read_afresh(photos)

    assert cache.fingerprint(photos) == before
    assert len(list(photos.rglob("*"))) == 14
    assert len(entries(place)) == 1


def add(photos):
    save(photos / "dog" / "new.png", np.full((5, 7, 3), 9, np.uint8))


def remove(photos):
    (photos / "cat" / "3.png").unlink()


def rename_file(photos):
    (photos / "cat" / "0.png").rename(photos / "cat" / "9.png")


def rename_class(photos):
    (photos / "cat").rename(photos / "eel")


def overwrite_with_as_many_bytes(photos):
    bytes_of_another = (photos / "dog" / "0.png").read_bytes()
    target = photos / "dog" / "1.png"
    target.write_bytes(bytes_of_another.ljust(target.stat().st_size, b"\0")[: target.stat().st_size])
    os.utime(target, ns=(1, 1))


@pytest.mark.parametrize("change", [add, remove, rename_file, rename_class, overwrite_with_as_many_bytes])
def test_a_changed_folder_is_decoded_again_and_its_old_entry_dropped(photos, place, change):
    before = cache.read_images(photos)
    change(photos)

    after = cache.read_images(photos)  # by the same program

    expected = read_folder(photos)
    assert_same(after, expected)
    assert before[2] != expected[2] or not np.array_equal(before[0], expected[0])
    assert len(entries(place)) == 1


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def flip_bit_of_header(path):
    content = bytearray(path.read_bytes())
    content[9] ^= 1
    path.write_bytes(content)


def fill_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))  # what a power cut may leave


@pytest.mark.parametrize("damage", [truncate, empty, delete, flip_last_bit, flip_bit_of_header, fill_with_zeros])
@pytest.mark.parametrize("name", [*cache.FILES, cache.CHECKSUMS])
def test_a_damaged_entry_is_made_again(photos, place, monkeypatch, name, damage):
    expected = read_folder(photos)
    read_afresh(photos)  # the result is let go: a file that is mapped must not be cut
    cache._read_once.cache_clear()
    damage(entries(place)[0] / name)

    assert_same(read_afresh(photos), expected)
    forbid_decoding(monkeypatch)
    assert_same(read_afresh(photos), expected)


READ = """
import sys, time, zlib
from exercise_code.data import cache
original = cache.read_folder
def decode(*args, **settings):
    print("decoding", flush=True)
    time.sleep(0.5)
    return original(*args, **settings)
cache.read_folder = decode
print("ready", flush=True)
sys.stdin.readline()
images, labels, classes = cache.read_images(sys.argv[1])
print(zlib.crc32(images.tobytes()), labels.sum(), *classes)
"""


def test_programs_that_start_at_the_same_time_decode_once_and_agree(photos, place):
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", READ, photos],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for program in programs:
            assert program.stdout.readline() == "ready\n"
        for program in programs:
            program.stdin.write("go\n")
            program.stdin.flush()
        outputs = [program.communicate(timeout=60)[0].splitlines() for program in programs]
    finally:
        for program in programs:
            program.kill()
            program.wait()

    assert sum(lines.count("decoding") for lines in outputs) == 1
    assert len({lines[-1] for lines in outputs}) == 1
    assert outputs[0][-1].endswith("6 cat dog")
    assert len(entries(place)) == 1


def test_threads_that_ask_at_the_same_time_agree(photos):
    found = [None] * 4

    def read(i):
        found[i] = cache.read_images(photos)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for images in found:
        assert_same(images, read_folder(photos))


def test_a_program_killed_while_writing_leaves_nothing_that_is_believed(photos, place):
    code = (
        "import os, sys; import numpy as np; from exercise_code.data import cache; save = np.save\n"
        "def die(path, *args, **settings):\n"
        "    if path.name == 'labels.npy': os._exit(9)\n"
        "    save(path, *args, **settings)\n"
        "np.save = die; cache.read_images(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, photos], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert [path.name.startswith("part-") for path in entries(place)] == [True]

    assert_same(read_afresh(photos), read_folder(photos))
    assert [path.name.startswith("part-") for path in entries(place)] == [False]


def test_a_full_disk_costs_the_cache_but_not_the_images(photos, place, monkeypatch):
    decoded = []
    original = cache.read_folder

    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    def count(*args, **settings):
        decoded.append(args)
        return original(*args, **settings)

    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(cache, "read_folder", count)

    assert_same(read_afresh(photos), read_folder(photos))
    assert len(decoded) == 1
    assert entries(place) == []


def test_an_impossible_cache_folder_costs_the_cache_but_not_the_images(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DATASETS_CACHE", str(tmp_path / "file" / "cache"))

    assert_same(read_afresh(photos), read_folder(photos))


def test_an_entry_that_nobody_may_write_is_still_read(photos, place, monkeypatch):
    expected = read_afresh(photos)
    forbid_decoding(monkeypatch)

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(cache, "locked", refuse)

    assert_same(read_afresh(photos), expected)


def test_a_folder_that_changes_while_it_is_decoded_is_not_kept(photos, place, monkeypatch):
    original = cache.read_folder

    def decode(*args, **settings):
        found = original(*args, **settings)
        add(photos)
        return found

    monkeypatch.setattr(cache, "read_folder", decode)

    assert len(read_afresh(photos)[0]) == 12
    assert entries(place) == []
    monkeypatch.setattr(cache, "read_folder", original)
    assert len(read_afresh(photos)[0]) == 13


@pytest.mark.parametrize("word", ["off", "OFF", "0"])
def test_the_cache_can_be_switched_off(photos, tmp_path, monkeypatch, word):
    monkeypatch.setenv("DATASETS_CACHE", word)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    images = read_afresh(photos)[0]

    assert not is_mapped(images)
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG rule is that of Linux")
def test_without_the_variable_the_cache_is_the_users(photos, tmp_path, monkeypatch):
    monkeypatch.delenv("DATASETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    read_afresh(photos)

    assert len(entries(tmp_path / "home" / "exercise_code")) == 1


def test_sizes_and_parts_have_entries_of_their_own(photos, place, tmp_path, monkeypatch):
    shutil.copytree(photos, tmp_path / "split" / "train")
    shutil.copytree(photos, tmp_path / "split" / "test")
    remove(tmp_path / "split" / "test")
    wishes = [{}, {"size": 4}, {"size": (4, 6)}, {"parts": ("test",)}, {"parts": ("train", "test")}]

    shapes = [read_afresh(tmp_path / "split", **wish)[0].shape for wish in wishes]

    assert shapes == [(12, 5, 7, 3), (12, 4, 4, 3), (12, 4, 6, 3), (11, 5, 7, 3), (23, 5, 7, 3)]
    forbid_decoding(monkeypatch)
    assert [read_afresh(tmp_path / "split", **wish)[0].shape for wish in wishes] == shapes
    assert len(entries(place)) == 5


def test_binary_batches_are_read_directly(tmp_path, place):
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar" / "data_batch_1.bin").write_bytes(bytes(3073 * 3))
    (tmp_path / "cifar" / "batches.meta.txt").write_text("airplane\n")

    assert read_afresh(tmp_path / "cifar")[0].shape == (3, 32, 32, 3)
    assert not place.exists()


def test_a_missing_folder_is_an_error_as_without_a_cache(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of images, got nothing"):
        cache.read_images(tmp_path / "nowhere")


def test_a_broken_image_is_an_error_and_leaves_no_entry(photos, place):
    (photos / "cat" / "2.png").write_bytes(b"not an image")

    with pytest.raises(ValueError, match="expected a readable image"):
        read_afresh(photos)
    assert entries(place) == []


def test_a_dataset_reads_its_folder_through_the_cache_and_its_parts_share_the_pixels(photos, monkeypatch):
    train = ImageFolderDataset(mode="train", root=photos, size=4)
    forbid_decoding(monkeypatch)
    val = ImageFolderDataset(mode="val", root=photos, size=4)

    batch = next(iter(DataLoader(train, batch_size=3)))

    assert train.images.shape == (12, 4, 4, 3)
    assert np.shares_memory(train.images, val.images)
    assert is_mapped(train.images)
    assert batch["image"].flags.writeable


def test_a_dataset_notices_a_new_file_in_a_class_folder(photos):
    assert len(ImageFolderDataset(root=photos).images) == 12
    add(photos)

    assert len(ImageFolderDataset(root=photos).images) == 13
