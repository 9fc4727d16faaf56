"""Transforms, data sets and the DataLoader."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exercise_code.data import (
    ArrayDataset,
    ComposeTransform,
    DataLoader,
    FlattenTransform,
    ImageFolderDataset,
    NormalizeTransform,
    RandomHorizontalFlip,
    RescaleTransform,
    compute_image_mean_and_std,
)
from exercise_code.data.transforms import AffineTransform


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(256, size=(20, 4, 5, 3), dtype=np.uint8)


@pytest.fixture
def cifar_folder(tmp_path):
    """A folder in CIFAR-10's binary layout with 40 images; the label of image i is i % 10 and its pixels are all i."""
    records = np.zeros((40, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(40) % 10
    records[:, 1:] = np.arange(40)[:, None]
    (tmp_path / "data_batch_1.bin").write_bytes(records[:20].tobytes())
    (tmp_path / "data_batch_2.bin").write_bytes(records[20:].tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"kind{i}" for i in range(10)) + "\n")
    return tmp_path


class SquaresByItem:
    """A data set that offers nothing but __len__ and __getitem__."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        if index >= 7:
            raise IndexError(index)
        return {"image": np.full((2, 2), index**2, dtype=np.float32), "label": index % 3}


def test_rescale_maps_the_ends_of_a_range_to_the_ends_of_another_and_leaves_its_input_alone(images):
    kept = images.copy()

    out = RescaleTransform(range_=(-1, 1), old_range=(0, 255))(images)

    np.testing.assert_allclose(out, images / 255 * 2 - 1, atol=1e-6)
    np.testing.assert_array_equal(images, kept)


def test_normalised_images_have_mean_zero_and_deviation_one_per_channel(images):
    mean, std = compute_image_mean_and_std(images)

    out = NormalizeTransform(mean, std)(images)

    assert np.abs(out.mean(axis=(0, 1, 2))).max() < 1e-5
    assert np.abs(out.std(axis=(0, 1, 2)) - 1).max() < 1e-5


def test_mean_and_std_of_uint8_equal_those_of_the_same_floats(images):
    for ours, expected in zip(
        compute_image_mean_and_std(images), compute_image_mean_and_std(images.astype(np.float64)), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_mean_and_std_are_exact_over_more_pixels_than_are_counted_at_a_time(monkeypatch, images):
    whole = compute_image_mean_and_std(images)

    monkeypatch.setattr("exercise_code.data.transforms.HISTOGRAM_PIXELS", 7)

    np.testing.assert_array_equal(compute_image_mean_and_std(images), whole)
    np.testing.assert_array_equal(compute_image_mean_and_std(images[::-1, :, ::-1]), whole)


@settings(deadline=None, max_examples=80)
@given(
    images=hnp.array_shapes(min_dims=1, max_dims=5, max_side=6).flatmap(
        lambda shape: st.sampled_from([np.uint8, np.int64, np.float32, np.float64]).flatmap(
            lambda dtype: hnp.arrays(dtype, shape, elements=st.integers(0, 255).map(dtype))
        )
    ),
    per_channel=st.tuples(st.booleans(), st.booleans()),
)
def test_an_affine_step_equals_its_formula_for_any_shape_and_dtype(images, per_channel):
    images.flags.writeable = False
    rng = np.random.default_rng(images.size)
    scale, shift = (rng.normal(size=images.shape[-1:] if c else ()) for c in per_channel)

    out = AffineTransform(scale, shift)(images)

    assert out.dtype == np.float32
    assert out.shape == images.shape
    np.testing.assert_allclose(out, images.astype(np.float64) * scale + shift, rtol=1e-6, atol=1e-4)


def test_an_affine_step_takes_no_images_and_views_and_a_mean_image(images):
    chain = ComposeTransform([NormalizeTransform([1, 2, 3], [4, 5, 6]), FlattenTransform()])
    mean_image = images.mean(axis=0)

    assert chain.batch(images[:0]).shape == (0, 60)
    np.testing.assert_array_equal(chain.batch(images[::-1, :, ::-1]), chain.batch(images[::-1, :, ::-1].copy()))
    np.testing.assert_allclose(
        NormalizeTransform(mean_image, 2).batch(images), (images - mean_image) / 2, rtol=1e-5, atol=1e-4
    )


def test_flattening_keeps_height_width_channel_order(images):
    np.testing.assert_array_equal(FlattenTransform()(images[0]), images[0].ravel())
    np.testing.assert_array_equal(FlattenTransform().batch(images)[3], images[3].ravel())


def test_a_flip_mirrors_left_and_right_with_the_given_probability(images):
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0).batch(images), images[:, :, ::-1])
    np.testing.assert_array_equal(RandomHorizontalFlip(0.0).batch(images), images)
    many = np.repeat(images[:1], 4000, axis=0)
    flipped = (RandomHorizontalFlip(0.3).batch(many) != many).any(axis=(1, 2, 3)).mean()
    assert abs(flipped - 0.3) < 0.04  # five standard errors of 4,000 draws


def test_a_chain_gives_the_same_for_one_image_and_for_a_batch(images):
    chain = ComposeTransform(
        [RescaleTransform(), NormalizeTransform([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]), FlattenTransform()]
    )

    singly = np.stack([chain(image) for image in images])

    np.testing.assert_allclose(chain.batch(images), singly, atol=1e-6)


def test_a_chain_with_a_plain_function_still_works_image_by_image(images):
    chain = ComposeTransform([RescaleTransform(), lambda image: image * 2])
    dataset = ArrayDataset(images, np.zeros(20, dtype=int), chain)

    batch = next(iter(DataLoader(dataset, batch_size=3)))

    np.testing.assert_allclose(batch["image"], images[:3] / 255 * 2, atol=1e-6)


def test_dataset_parts_do_not_overlap_and_cover_everything(cifar_folder):
    parts = [ImageFolderDataset(mode=mode, root=cifar_folder) for mode in ("train", "val", "test")]

    seen = [int(image[0, 0, 0]) for part in parts for image in part.pixels()]

    assert [len(part) for part in parts] == [24, 8, 8]
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize(
    "fractions", [{"train": 0.7, "val": 0.2, "test": 0.1}, {"train": 0.6, "val": 0.3, "test": 0.1}]
)
def test_splits_whose_fractions_add_up_to_one_only_within_rounding_are_accepted(cifar_folder, fractions):
    sizes = [len(ImageFolderDataset(mode=mode, split=fractions, root=cifar_folder)) for mode in fractions]

    assert sum(sizes) == 40


def test_items_carry_the_transformed_image_and_a_plain_int_label(cifar_folder):
    dataset = ImageFolderDataset(transform=FlattenTransform(), mode="val", root=cifar_folder)

    item = dataset[0]

    value = int(item["image"][0])
    assert item["image"].shape == (3072,)
    assert item["label"] == value % 10
    assert type(item["label"]) is int
    assert dataset.classes[3] == "kind3"
    assert dataset.class_to_idx["kind3"] == 3


def test_limit_files_keeps_the_first_images_of_the_part(cifar_folder):
    whole, few = (ImageFolderDataset(limit_files=limit, root=cifar_folder) for limit in (None, 5))

    np.testing.assert_array_equal(few.pixels(), whole.pixels()[:5])


def test_making_a_dataset_does_not_reseed_numpy(cifar_folder):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()

    ImageFolderDataset(root=cifar_folder)

    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "valid"}, "expected mode to be one of train, val, test, got 'valid'"),
        ({"split": {"train": 0.5, "val": 0.2}}, "add up to 1"),
        ({"limit_files": 0}, "limit_files must be at least 1"),
    ],
)
def test_bad_dataset_settings_are_refused(cifar_folder, settings, message):
    with pytest.raises(ValueError, match=message):
        ImageFolderDataset(root=cifar_folder, **settings)


def test_a_dataset_without_a_root_says_how_to_get_one():
    with pytest.raises(ValueError, match="fetch_or_stand_in"):
        ImageFolderDataset()


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [3, 3, 1]), (True, [3, 3])])
def test_loader_cuts_batches_of_any_dataset_with_len_and_getitem(drop_last, sizes):
    loader = DataLoader(SquaresByItem(), batch_size=3, drop_last=drop_last)

    batches = list(loader)

    assert len(loader) == len(sizes)
    assert [len(batch["label"]) for batch in batches] == sizes
    np.testing.assert_array_equal(batches[1]["image"][:, 0, 0], [9, 16, 25])


def test_a_pickled_dataset_comes_back_working(images):
    chain = ComposeTransform([RescaleTransform(), FlattenTransform()])
    dataset = pickle.loads(pickle.dumps(ArrayDataset(images, np.arange(20), chain)))

    batch = next(iter(DataLoader(dataset, batch_size=4)))

    np.testing.assert_allclose(batch["image"], images[:4].reshape(4, -1) / 255, atol=1e-6)


def test_the_batch_path_gives_the_same_as_item_by_item(images):
    dataset = ArrayDataset(images, np.arange(20), ComposeTransform([RescaleTransform(), FlattenTransform()]))

    fast = next(iter(DataLoader(dataset, batch_size=20)))
    slow = next(iter(DataLoader([dataset[i] for i in range(20)], batch_size=20)))

    np.testing.assert_allclose(fast["image"], slow["image"], atol=1e-7)
    np.testing.assert_array_equal(fast["label"], slow["label"])


def test_shuffling_changes_from_epoch_to_epoch_and_repeats_with_the_same_seed():
    loader = DataLoader(SquaresByItem(), batch_size=7, shuffle=True)
    epochs = [next(iter(loader))["image"][:, 0, 0].tolist() for _ in range(2)]
    twin = next(iter(DataLoader(SquaresByItem(), batch_size=7, shuffle=True)))["image"][:, 0, 0].tolist()

    assert epochs[0] != epochs[1]
    assert epochs[0] == twin
    assert sorted(epochs[0]) == [i**2 for i in range(7)]


def test_batches_kept_in_a_list_stay_as_they_were_and_may_be_written_to(images):
    dataset = ArrayDataset(images, np.arange(20), ComposeTransform([RescaleTransform(), FlattenTransform()]))
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    copies = [batch["image"].copy() for batch in loader.fork()]

    kept = list(loader)

    for batch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(batch["image"], copy)
        assert batch["image"].flags.writeable
        assert not any(np.shares_memory(batch["image"], other["image"]) for other in kept if other is not batch)


def test_an_epoch_draws_one_permutation_from_the_generator_it_was_given():
    rng, twin = np.random.default_rng(11), np.random.default_rng(11)
    loader = DataLoader(SquaresByItem(), batch_size=3, shuffle=True, rng=rng)

    epochs = [np.concatenate([batch["image"][:, 0, 0] for batch in loader]) for _ in range(3)]

    np.testing.assert_array_equal(epochs, [twin.permutation(7) ** 2 for _ in range(3)])
    assert rng.bit_generator.state == twin.bit_generator.state


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_reading_batches_never_writes_to_the_stored_images(images, dtype):
    stored = images.astype(dtype)
    stored.flags.writeable = False
    chain = ComposeTransform([RandomHorizontalFlip(), RescaleTransform(), FlattenTransform()])

    for batch in DataLoader(ArrayDataset(stored, np.arange(20), chain), batch_size=8):
        batch["image"] += 1

    np.testing.assert_array_equal(stored, images)


def test_in_order_reading_sees_every_sample_and_draws_nothing():
    loader = DataLoader(SquaresByItem(), batch_size=3, shuffle=True, drop_last=True)
    state = loader.rng.bit_generator.state

    values = np.concatenate([batch["image"][:, 0, 0] for batch in loader.in_order(2)])

    np.testing.assert_array_equal(values, np.arange(7) ** 2)
    assert loader.rng.bit_generator.state == state


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_bad_batch_sizes_are_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        DataLoader(SquaresByItem(), batch_size)


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        DataLoader([])


def test_a_missing_root_is_downloaded_from_its_url_and_read(tmp_path, monkeypatch):
    import functools
    import http.server
    import io
    import threading
    import zipfile

    from PIL import Image

    monkeypatch.delenv("DATASETS_OFFLINE", raising=False)
    monkeypatch.setenv("DATASETS_CACHE", "off")
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "photos.zip", "w") as archive:
        for kind in ("cat", "dog"):
            for i in range(5):
                picture = io.BytesIO()
                Image.new("RGB", (6, 4), (i, 0, 0)).save(picture, "PNG")
                archive.writestr(f"photos/{kind}/{i}.png", picture.getvalue())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/photos.zip"
        parts = [
            ImageFolderDataset(mode=mode, root=tmp_path / "data" / "photos", download_url=url)
            for mode in ("train", "val", "test")
        ]
    finally:
        server.shutdown()
        server.server_close()

    assert [len(part) for part in parts] == [6, 2, 2]
    assert parts[0].classes == ("cat", "dog")
    assert parts[0][0]["image"].shape == (4, 6, 3)
