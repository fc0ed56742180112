"""Downloads from a local server: whole, interrupted, wrong, and without a network."""

import errno
import functools
import hashlib
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from redone.tasks import fetch as module
from redone.tasks.datasets import (
    DataFile,
    Dataset,
    PublishedGeneration,
    PublishedPrompts,
    dataset,
    datasets,
)
from redone.tasks.errors import UnknownName
from redone.tasks.fetch import (
    FetchFailed,
    example_in,
    fetch,
    generation_in,
    prompts_in,
    published_generation,
    published_prompts,
)

BIG = bytes(range(256)) * 2000
SMALL = b"[{}]"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder as http.server does; `ranges` and `cut` change that."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.seen.append((self.path, self.headers.get("Range")))
        if server.broken and not self.path.endswith(".json"):
            self.send_error(server.broken.pop())
            return
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            body = file.read()
        wanted = self.headers.get("Range") if server.ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        stated = not server.no_length
        if stated:
            self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        cut = server.cut.pop() if server.cut and len(body) > 1000 else None
        self.wfile.write(body[start : None if cut is None else start + cut])


@contextmanager
def serving(folder, handler=Handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    server.seen, server.cut, server.broken = [], [], []
    server.ranges, server.no_length = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
    finally:
        server.shutdown()
        server.server_close()


def a_file(path, upstream, content):
    return DataFile(path, upstream, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def upstream(tmp_path):
    folder = tmp_path / "upstream"
    (folder / "data files").mkdir(parents=True)
    (folder / "data files" / "big one.bin").write_bytes(BIG)
    (folder / "data files" / "small.json").write_bytes(SMALL)
    with serving(folder) as server:
        server.folder = folder
        server.dataset = Dataset(
            name="toy",
            title="A toy",
            licence="none",
            licence_url="",
            citation="nobody",
            url=server.url,
            files=(
                a_file("toy/big.bin", "data files/big one.bin", BIG),
                a_file("toy/small.json", "data files/small.json", SMALL),
            ),
        )
        yield server


def get(server, folder, **changes):
    return fetch(replace(server.dataset, **changes), folder, pause=0)


def test_downloads_then_finds_all_there(upstream, tmp_path):
    progress = {}
    home = tmp_path / "not" / "there" / "yet"
    done = fetch(upstream.dataset, home, progress=progress.__setitem__)
    assert (home / "toy/big.bin").read_bytes() == BIG
    assert (home / "toy/small.json").read_bytes() == SMALL
    assert done.downloaded == ["toy/big.bin", "toy/small.json"]
    assert progress == {"toy/big.bin": len(BIG), "toy/small.json": len(SMALL)}
    assert not list(home.rglob("*.part"))
    upstream.seen.clear()
    assert get(upstream, home).present == ["toy/big.bin", "toy/small.json"]
    assert upstream.seen == []


def test_a_file_that_is_not_right_is_replaced(upstream, tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/small.json").write_bytes(SMALL[::-1])
    get(upstream, tmp_path)
    assert (tmp_path / "toy/small.json").read_bytes() == SMALL


@pytest.mark.parametrize("no_length", [False, True])
def test_cut_off_in_the_middle_goes_on_within_the_run(upstream, tmp_path, no_length):
    upstream.cut, upstream.no_length = [30_000, 200_000], no_length
    get(upstream, tmp_path)
    assert (tmp_path / "toy/big.bin").read_bytes() == BIG
    ranges = [r for path, r in upstream.seen if "big" in path]
    assert ranges[0] is None
    assert all(r.startswith("bytes=") for r in ranges[1:])
    assert len(ranges) == 3


def test_cut_off_for_good_resumes_in_the_next_run(upstream, tmp_path):
    upstream.cut = [1000] * module.ATTEMPTS
    with pytest.raises(FetchFailed, match=r"rerun the same command"):
        get(upstream, tmp_path)
    part = tmp_path / "toy/big.bin.part"
    assert not (tmp_path / "toy/big.bin").exists()
    kept = part.stat().st_size
    assert 0 < kept < len(BIG)
    upstream.seen.clear()
    get(upstream, tmp_path)
    assert upstream.seen[0][1] == f"bytes={kept}-"
    assert (tmp_path / "toy/big.bin").read_bytes() == BIG
    assert not part.exists()


def test_server_without_ranges_begins_again(upstream, tmp_path):
    upstream.ranges, upstream.cut = False, [5000]
    get(upstream, tmp_path)
    assert (tmp_path / "toy/big.bin").read_bytes() == BIG


def test_pythons_own_server(tmp_path, upstream):
    class Plain(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/big.bin.part").write_bytes(BIG[:777])
    with serving(upstream.folder, Plain) as server:
        get(upstream, tmp_path, url=server.url)
    assert (tmp_path / "toy/big.bin").read_bytes() == BIG


@pytest.mark.parametrize("part", [b"x" * 777, b"x" * len(BIG), b"x" * (len(BIG) + 5)])
def test_a_part_of_another_file_does_no_harm(upstream, tmp_path, part):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/big.bin.part").write_bytes(part)
    get(upstream, tmp_path)
    assert (tmp_path / "toy/big.bin").read_bytes() == BIG


@pytest.mark.parametrize(
    ("content", "said"),
    [(BIG[::-1], "SHA-256"), (BIG + b"more", "longer than"), (BIG[:-9], "ends at byte")],
)
def test_wrong_content_is_not_kept(upstream, tmp_path, content, said):
    (upstream.folder / "data files" / "big one.bin").write_bytes(content)
    with pytest.raises(FetchFailed, match=said):
        get(upstream, tmp_path)
    assert not (tmp_path / "toy/big.bin").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_server_errors_are_tried_again_and_404_is_not(upstream, tmp_path):
    upstream.broken = [503, 429]
    get(upstream, tmp_path)
    assert len(upstream.seen) == 4
    (upstream.folder / "data files" / "small.json").unlink()
    upstream.seen.clear()
    with pytest.raises(FetchFailed, match=r"404.*--base-url"):
        get(upstream, tmp_path / "other")
    assert len(upstream.seen) == 2


def test_no_network(upstream, tmp_path):
    with pytest.raises(FetchFailed, match="no connection"):
        get(upstream, tmp_path, url="http://127.0.0.1:9")
    with pytest.raises(FetchFailed, match="is not a web address"):
        get(upstream, tmp_path, url="nowhere")
    assert not [p for p in tmp_path.rglob("toy/*") if p.is_file()]


def test_full_disk(upstream, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(FetchFailed, match="No space left.*resumes from here"):
        get(upstream, tmp_path)
    monkeypatch.undo()
    upstream.seen.clear()
    get(upstream, tmp_path)
    assert "big" not in str(upstream.seen), "the part was whole"


def test_folder_that_cannot_be_written(upstream, tmp_path):
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(FetchFailed, match="cannot be written"):
        get(upstream, tmp_path)


CONFIGURATION = '''
from somewhere import Template, Set

# one
template = dict(
    begin=[dict(role="SYSTEM", fallback_role="HUMAN", prompt="""Choose one.
{"form": 1}\\n""")],
    round=[dict(role='HUMAN', prompt="Input: {content}\\nAnswer: "),
           dict(role="BOT", prompt="{answer}", generate=True)])
one_datasets = [dict(type=Set, name="note_toy_one",
    infer_cfg=dict(prompt_template=dict(type=Template, template=template), inferencer=dict(n=1)))]
# two
template = dict(round=[dict(role="HUMAN", prompt=f"{{content}}" + "!")])
two_datasets =[dict(type=Set, name='note_toy_two', infer_cfg=dict(x=dict(template=template)))]
datasets = one_datasets + two_datasets
'''


def test_prompts_are_read_as_literals():
    found = prompts_in(CONFIGURATION)
    assert found["note_toy_one"].system == 'Choose one.\n{"form": 1}\n'
    assert found["note_toy_one"].user == "Input: {content}\nAnswer: "
    assert found["note_toy_two"].system == ""
    assert found["note_toy_two"].user == "{content}!"


@pytest.mark.parametrize(
    "bad",
    [
        "template = dict(round=[dict(role='HUMAN', prompt=open('/etc/passwd').read())])",
        "template = dict(round=[dict(role='HUMAN', prompt=f'{secret}')])",
        "template = (",
        "(" * 10_000,
    ],
)
def test_code_is_never_run(bad):
    with pytest.raises(ValueError):
        prompts_in(bad)


def with_prompts(server, sha256=""):
    names = ("Note-Toy-one", "Note-Toy-two")
    return replace(
        server.dataset,
        prompts=PublishedPrompts("toy/prompts.json", "configs", ("toy_gen.py",), names, sha256),
    )


def test_published_prompts_become_json(upstream, tmp_path):
    (upstream.folder / "configs").mkdir()
    (upstream.folder / "configs" / "toy_gen.py").write_text(CONFIGURATION, "utf-8")
    done = fetch(with_prompts(upstream), tmp_path, pause=0)
    found = json.loads((tmp_path / "toy/prompts.json").read_text("utf-8"))
    assert list(found) == ["Note-Toy-one", "Note-Toy-two"]
    assert found["Note-Toy-two"] == {"system": "", "user": "{content}!"}
    assert "differs from the prompts known" in done.notes[0]
    packed = json.dumps(found, sort_keys=True, ensure_ascii=False).encode()
    (tmp_path / "toy/prompts.json").unlink()
    known = with_prompts(upstream, hashlib.sha256(packed).hexdigest())
    assert fetch(known, tmp_path, pause=0).notes == []


@pytest.mark.parametrize("configuration", [None, "x = 1", CONFIGURATION.split("# two")[0]])
def test_without_published_prompts_the_rest_is_whole(upstream, tmp_path, configuration):
    if configuration:
        (upstream.folder / "configs").mkdir()
        (upstream.folder / "configs" / "toy_gen.py").write_text(configuration, "utf-8")
    done = fetch(with_prompts(upstream), tmp_path, pause=0)
    assert len(done.downloaded) == 2
    assert "could not be downloaded" in done.notes[0]
    assert not (tmp_path / "toy/prompts.json").exists()


def test_names_missing_in_the_configuration_are_told():
    prompts = PublishedPrompts("p", "u", (), ("Note-Toy-one", "Note-Else"), "")
    with pytest.raises(ValueError, match="Note-Else"):
        published_prompts(prompts, iter([CONFIGURATION]))


GENERATING = """
one_datasets = [
    dict(type=Set, name="note_toy_one", abbr="toy-One", infer_cfg=dict(
        prompt_template=dict(template=template),
        inferencer=dict(type=Gen, max_out_len=4096,  # much
            extra_gen_kwargs=dict(temperature=0.7, top_p=0.9)))),
    dict(type=Set, name="note_toy_two", abbr='toy-Two',
        infer_cfg=dict(inferencer=dict(type=Gen, max_out_len=12))),
    dict(type=Set, name="no inferencer", abbr="toy-None"),
]
"""
EXAMPLE = """
models = [dict(type=Model, path="/m", generation_kwargs=dict(do_sample=True, temperature=0.1),
    max_out_len=1024, max_seq_len=4096, batch_size=32)]
infer = dict(runner=dict(type=Local))
"""
LIMITS = {
    "toy-One": {"max_out_len": 4096, "extra_gen_kwargs": {"temperature": 0.7, "top_p": 0.9}},
    "toy-Two": {"max_out_len": 12},
}
TOY = PublishedGeneration(
    "toy/generation.json", {"Note-Toy-one": "toy-One", "Note-Toy-two": "toy-Two"}, "", "example.py"
)


def test_limits_and_sampling_are_read_as_literals():
    assert generation_in(GENERATING) == LIMITS
    assert example_in(EXAMPLE) == {
        **{"do_sample": True, "temperature": 0.1},
        **{"max_out_len": 1024, "max_seq_len": 4096},
    }
    with pytest.raises(ValueError, match="no generation_kwargs"):
        example_in("models = [dict(path='m')]")
    with pytest.raises(ValueError, match="toy-Three"):
        published_generation(replace(TOY, names={"three": "toy-Three"}), [GENERATING])


@pytest.mark.parametrize("value", ["open('/etc/passwd').read()", "2 ** 9_999_999", "SECRET"])
def test_settings_that_are_no_literals_are_refused(value):
    with pytest.raises(ValueError):
        generation_in(GENERATING.replace("4096", value))
    with pytest.raises(ValueError):
        example_in(EXAMPLE.replace("0.1", value))


@pytest.mark.parametrize("example", [EXAMPLE, None])
def test_published_limits_become_json(upstream, tmp_path, example):
    (upstream.folder / "configs").mkdir()
    text = f"{CONFIGURATION}\n{GENERATING}"
    (upstream.folder / "configs" / "toy_gen.py").write_text(text, "utf-8")
    if example:
        (upstream.folder / "example.py").write_text(example, "utf-8")
    known = with_prompts(upstream)
    done = fetch(replace(known, prompts=replace(known.prompts, generation=TOY)), tmp_path, pause=0)
    written = tmp_path / "toy/generation.json"
    if not example:
        assert not written.exists()
        assert "own limits could not be downloaded" in done.notes[-1]
        return
    found = json.loads(written.read_text("utf-8"))
    assert found["by_abbr"] == LIMITS
    assert found["example"]["temperature"] == 0.1
    assert "toy/generation.json" in done.downloaded
    assert "differs from the limits known" in done.notes[-1]


def test_the_table():
    assert set(datasets()) == {"sns-bench", "redtrans-bench", "tweeteval"}
    for each in datasets().values():
        assert each.licence
        assert each.citation
        assert each.url.startswith("https://")
        paths = [f.path for f in each.files]
        assert len(set(paths)) == len(paths)
        assert all(p.startswith(f"{each.name}/") and ".." not in p for p in paths)
        assert all(len(f.sha256) == 64 and f.size > 0 for f in each.files)
    with pytest.raises(UnknownName, match="'sns-bench'"):
        dataset("sns_bench")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["sns-bench", "redtrans-bench", "tweeteval"])
def test_published_files_from_a_mirror(data_dir, tmp_path, name):
    known = dataset(name)
    with serving(data_dir) as server:
        done = fetch(known, tmp_path, mirror=server.url, pause=0)
    assert len(done.downloaded) == len(known.files) + 2 * bool(known.prompts)
    assert done.notes == []
    for file in known.files:
        assert (tmp_path / file.path).read_bytes() == (data_dir / file.path).read_bytes()
