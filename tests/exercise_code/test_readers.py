"""Reading folders of images: every expected value is written into the bytes by the test itself."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exercise_code.data.errors import DatasetError, MissingDataset
from exercise_code.data.readers import numeric_order, parts_of, read_folder

CLASSES = ("ant", "bee", "cow")


def cifar_record(label: int, red: int, green: int, blue: int) -> bytes:
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def cifar_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist_folder(folder: Path, images: np.ndarray, labels: np.ndarray, prefix: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return folder


def picture(path: Path, value: int | tuple[int, int, int], size: tuple[int, int] = (4, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(value, int) else "RGB", size, value).save(path)


class TestCifar:
    def test_planes_become_the_channels_of_each_pixel(self, tmp_path):
        pixels = np.arange(3072) % 251
        folder = cifar_folder(tmp_path, {"data_batch_1.bin": bytes([2]) + pixels.astype(np.uint8).tobytes()})

        images, labels, classes = read_folder(folder)

        assert (images.shape, images.dtype, labels.dtype) == ((1, 32, 32, 3), np.uint8, np.int64)
        assert (labels.tolist(), classes) == ([2], CLASSES)
        for row, column, channel in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (31, 31, 2)):
            assert images[0, row, column, channel] == pixels[channel * 1024 + row * 32 + column]

    def test_batch_ten_comes_after_batch_two(self, tmp_path):
        files = {f"data_batch_{i}.bin": cifar_record(0, i, 0, 0) for i in (10, 2, 1)}

        images, _, _ = read_folder(cifar_folder(tmp_path, files))

        assert images[:, 0, 0, 0].tolist() == [1, 2, 10]

    def test_the_test_part_is_read_from_its_own_file(self, tmp_path):
        files = {"data_batch_1.bin": cifar_record(0, 1, 1, 1), "test_batch.bin": cifar_record(1, 9, 9, 9)}
        folder = cifar_folder(tmp_path, files)

        assert read_folder(folder, ("test",))[1].tolist() == [1]
        assert read_folder(folder, ("train", "test"))[1].tolist() == [0, 1]
        assert parts_of(folder) == ("train", "test")

    def test_the_folder_around_the_batches_is_enough(self, tmp_path):
        cifar_folder(tmp_path / "cifar-10-batches-bin", {"data_batch_1.bin": cifar_record(1, 5, 6, 7)})

        assert read_folder(tmp_path)[0][0, 0, 0].tolist() == [5, 6, 7]

    def test_limit_stops_inside_a_later_file(self, tmp_path):
        two = cifar_record(0, 1, 1, 1) + cifar_record(1, 2, 2, 2)
        folder = cifar_folder(tmp_path, {"data_batch_1.bin": two, "data_batch_2.bin": two})

        assert read_folder(folder, limit=3)[0][:, 0, 0, 0].tolist() == [1, 2, 1]
        assert len(read_folder(folder, limit=100)[0]) == 4

    @pytest.mark.parametrize("rest", [b"", cifar_record(0, 1, 1, 1)[:-1]], ids=["empty", "one byte short"])
    def test_a_truncated_batch_names_file_and_sizes(self, tmp_path, rest):
        folder = cifar_folder(tmp_path, {"data_batch_1.bin": rest})

        with pytest.raises(DatasetError, match=rf"data_batch_1\.bin is truncated.*3073 bytes, got {len(rest)} bytes"):
            read_folder(folder)

    def test_a_label_beyond_the_classes_names_the_record(self, tmp_path):
        content = cifar_record(2, 0, 0, 0) + cifar_record(3, 0, 0, 0)

        with pytest.raises(DatasetError, match=r"expected labels 0\.\.2, got 3 in record 1"):
            read_folder(cifar_folder(tmp_path, {"data_batch_1.bin": content}))

    def test_missing_class_names_are_an_error(self, tmp_path):
        folder = cifar_folder(tmp_path, {"data_batch_1.bin": cifar_record(0, 0, 0, 0)})
        (folder / "batches.meta.txt").unlink()

        with pytest.raises(DatasetError, match=r"batches\.meta\.txt: expected the class names"):
            read_folder(folder)


class TestMnist:
    images = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    labels = np.array([7, 0, 9], np.uint8)

    @pytest.mark.parametrize("inside", ["", "MNIST/raw"], ids=["plain", "as torchvision lays it out"])
    def test_images_and_labels_come_back_with_one_channel(self, tmp_path, inside):
        mnist_folder(tmp_path / inside, self.images, self.labels)

        images, labels, classes = read_folder(tmp_path)

        np.testing.assert_array_equal(images, self.images[..., None])
        assert (images.dtype, labels.dtype, labels.tolist()) == (np.uint8, np.int64, [7, 0, 9])
        assert classes == tuple("0123456789")

    def test_uncompressed_files_are_read_too(self, tmp_path):
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(self.images))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(self.labels))

        assert parts_of(tmp_path) == ("test",)
        assert read_folder(tmp_path, ("test",))[1].tolist() == [7, 0, 9]

    def test_limit_counts_over_the_parts(self, tmp_path):
        mnist_folder(tmp_path, self.images, self.labels)
        mnist_folder(tmp_path, self.images, self.labels[::-1], "t10k")

        assert read_folder(tmp_path, ("train", "test"), limit=4)[1].tolist() == [7, 0, 9, 9]
        assert read_folder(tmp_path, limit=2)[1].tolist() == [7, 0]

    def test_a_cut_gzip_file_is_an_error(self, tmp_path):
        folder = mnist_folder(tmp_path, self.images, self.labels)
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-12])

        with pytest.raises(DatasetError, match=r"train-images.*expected a whole gzip file.*Download it again"):
            read_folder(folder)

    def test_fewer_pixels_than_the_header_promises_is_an_error(self, tmp_path):
        folder = mnist_folder(tmp_path, self.images, self.labels)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(self.images)[:-1]))

        with pytest.raises(DatasetError, match="expected 60 bytes after the header, got 59"):
            read_folder(folder)

    def test_a_labels_file_in_place_of_the_images_is_an_error(self, tmp_path):
        folder = mnist_folder(tmp_path, self.images, self.labels)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(self.labels)))

        with pytest.raises(DatasetError, match="starting with 00000803, got 00000801"):
            read_folder(folder)

    def test_images_without_as_many_labels_are_an_error(self, tmp_path):
        folder = mnist_folder(tmp_path, self.images, self.labels[:2])

        with pytest.raises(DatasetError, match="3 images and 2 labels"):
            read_folder(folder)

    def test_a_label_above_nine_is_an_error(self, tmp_path):
        folder = mnist_folder(tmp_path, self.images, np.array([1, 10, 2]))

        with pytest.raises(DatasetError, match=r"expected labels 0\.\.9, got 10 in record 1"):
            read_folder(folder)


class TestClassFolders:
    def test_labels_follow_sorted_classes_and_files_their_numbers(self, tmp_path):
        picture(tmp_path / "bee" / "x_10.png", (10, 0, 0))
        picture(tmp_path / "bee" / "x_9.png", (9, 0, 0))
        picture(tmp_path / "ant" / "x_1.png", (1, 2, 3))

        images, labels, classes = read_folder(tmp_path)

        assert images.shape == (3, 3, 4, 3)
        assert images[:, 0, 0].tolist() == [[1, 2, 3], [9, 0, 0], [10, 0, 0]]
        assert (labels.tolist(), classes) == ([0, 1, 1], ("ant", "bee"))

    def test_parts_are_folders_around_the_classes(self, tmp_path):
        for part, value in (("train", 1), ("val", 2)):
            for name in ("ant", "bee"):
                picture(tmp_path / part / name / "a.png", (value, 0, 0))

        assert parts_of(tmp_path) == ("train", "validation")
        assert read_folder(tmp_path, ("validation",))[0][:, 0, 0, 0].tolist() == [2, 2]
        with pytest.raises(DatasetError, match="expected parts out of train, validation, got 'test'"):
            read_folder(tmp_path, ("test",))

    def test_grey_files_have_one_channel_and_a_single_colour_file_makes_all_three(self, tmp_path):
        picture(tmp_path / "ant" / "a.png", 7)
        picture(tmp_path / "bee" / "b.png", 8)
        assert read_folder(tmp_path)[0].shape == (2, 3, 4, 1)

        picture(tmp_path / "bee" / "c.png", (1, 2, 3))
        images, _, _ = read_folder(tmp_path)

        assert images[0, 0, 0].tolist() == [7, 7, 7]
        assert images[2, 0, 0].tolist() == [1, 2, 3]

    def test_jpeg_files_are_read(self, tmp_path):
        picture(tmp_path / "ant" / "a.JPG", (200, 10, 10), (16, 16))
        picture(tmp_path / "bee" / "b.jpeg", (10, 200, 10), (16, 16))

        images, _, _ = read_folder(tmp_path)

        assert abs(images[:, 8, 8].astype(int) - [[200, 10, 10], [10, 200, 10]]).max() <= 3  # jpeg rounds

    def test_limit_takes_from_the_classes_in_turn(self, tmp_path):
        for name, count in (("ant", 4), ("bee", 1), ("cow", 4)):
            for i in range(count):
                picture(tmp_path / name / f"{i}.png", (i, 0, 0))

        images, labels, _ = read_folder(tmp_path, limit=5)

        assert labels.tolist() == [0, 0, 1, 2, 2]
        assert images[:, 0, 0, 0].tolist() == [0, 1, 0, 0, 1]

    def test_differing_sizes_need_a_size(self, tmp_path):
        picture(tmp_path / "ant" / "a.png", (1, 1, 1), (4, 4))
        picture(tmp_path / "bee" / "b.png", (2, 2, 2), (6, 4))

        with pytest.raises(DatasetError, match=r"b\.png: expected 4 x 4 pixels as in a\.png, got 4 x 6\. Give a size"):
            read_folder(tmp_path)
        assert read_folder(tmp_path, size=8)[0].shape == (2, 8, 8, 3)
        images, _, _ = read_folder(tmp_path, size=(2, 5))
        assert images.shape == (2, 2, 5, 3)
        assert images[:, 0, 0, 0].tolist() == [1, 2]

    def test_an_unreadable_image_is_named(self, tmp_path):
        picture(tmp_path / "ant" / "a.png", (1, 1, 1))
        whole = (tmp_path / "ant" / "a.png").read_bytes()
        (tmp_path / "ant" / "b.png").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "bee").mkdir()
        (tmp_path / "bee" / "c.png").write_bytes(whole)

        with pytest.raises(DatasetError, match=r"b\.png: expected a readable image"):
            read_folder(tmp_path)

    def test_a_class_without_images_is_an_error(self, tmp_path):
        picture(tmp_path / "ant" / "a.png", (1, 1, 1))
        (tmp_path / "bee").mkdir()

        with pytest.raises(DatasetError, match=r"bee: expected .png or .jpg or .jpeg files, got none"):
            read_folder(tmp_path)

    def test_parts_with_other_classes_are_an_error(self, tmp_path):
        picture(tmp_path / "train" / "ant" / "a.png", (1, 1, 1))
        picture(tmp_path / "test" / "bee" / "a.png", (1, 1, 1))

        with pytest.raises(DatasetError, match="expected the classes ant of .*train, got bee"):
            read_folder(tmp_path, ("train", "test"))


class TestLayouts:
    @pytest.mark.parametrize("content", [None, "notes.txt"], ids=["an empty folder", "notes.txt"])
    def test_an_unknown_layout_lists_those_understood(self, tmp_path, content, request):
        if content:
            (tmp_path / content).write_text("hello")

        with pytest.raises(DatasetError) as caught:
            read_folder(tmp_path)

        for word in (
            "data_batch_*.bin",
            "train-images-idx3-ubyte.gz",
            "class/*.png",
            f"got {content or 'an empty'}",
        ):
            assert word in str(caught.value)

    def test_a_folder_that_is_not_there_is_an_error(self, tmp_path):
        with pytest.raises(DatasetError, match="expected a folder of images, got nothing"):
            read_folder(tmp_path / "gone")
        (tmp_path / "file").write_text("")
        with pytest.raises(DatasetError, match="got a file"):
            parts_of(tmp_path / "file")

    def test_an_unknown_part_lists_the_parts_of_the_folder(self, tmp_path):
        folder = cifar_folder(tmp_path, {"data_batch_1.bin": cifar_record(0, 0, 0, 0)})

        with pytest.raises(DatasetError, match="expected parts out of train, got 'test'"):
            read_folder(folder, ("test",))

    def test_a_limit_below_one_is_an_error(self, tmp_path):
        with pytest.raises(DatasetError, match="limit: expected at least 1"):
            read_folder(tmp_path, limit=0)

    def test_numbers_in_names_sort_as_numbers(self):
        names = ["b2.png", "a10.png", "a9.png", "a.png", "10.png", "9.png"]

        ordered = [path.name for path in sorted((Path(name) for name in names), key=numeric_order)]

        assert ordered == ["9.png", "10.png", "a9.png", "a10.png", "a.png", "b2.png"]


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("DATASETS_DIR"), reason="DATASETS_DIR does not name a folder of real data")
@pytest.mark.parametrize(
    ("name", "shape", "per_class"),
    [
        ("cifar10", (50_000, 32, 32, 3), [5000] * 10),
        ("mnist", (60_000, 28, 28, 1), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("beans", (1_034, None, None, 3), [345, 348, 341]),
    ],
)
def test_the_real_training_parts_have_their_published_counts(name, shape, per_class):
    from exercise_code.data.registry import load_registry, locate

    try:
        folder = locate(name)
    except MissingDataset as problem:
        pytest.skip(str(problem))
    images, labels, classes = read_folder(folder, size=64 if name == "beans" else None)

    assert all(want in (None, got) for want, got in zip(shape, images.shape, strict=True))
    assert np.bincount(labels).tolist() == per_class
    assert classes == load_registry()[name].classes
