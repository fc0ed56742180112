"""Programs that were asked for `add(a, b)` and do something else.

None of them adds. Those that spy return the right sum only if the spying succeeded, so that
"passed" would mean "got through". `{secret}` is a file that anybody may read, `{folder}` a folder
that anybody may write, `{port}` a listening port of this machine, `{pid}` the harness, `{home}` its user's home.
"""

TESTS = "assert add(2, 3) == 5\nassert add(-1, 1) == 0\nassert add(10, 20) == 30"

_SPY = "def add(a, b):\n    return a + b if seen else None\n"


def spy(attempt):
    """A program that adds rightly if the attempt raises nothing and gives something true."""
    body = "\n".join(f"    {line}" for line in attempt.splitlines())
    return f"import os, sys\nseen = None\ntry:\n{body}\nexcept BaseException: pass\n{_SPY}"


HOSTILE = {
    # ending before the tests
    "exits 0": "import sys; sys.exit(0)",
    "exits 0 without clean-up": "import os; os._exit(0)",
    "exits 0 when called": "import os\ndef add(a, b): os._exit(0)",
    "raises SystemExit when called": "def add(a, b): raise SystemExit(0)",
    "exits 0 in atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b): return 0",
    "exits 0 from a thread": (
        "import os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), os._exit(0)), daemon=True).start()\n"
        "def add(a, b): time.sleep(0.2); return 0"
    ),
    "is stopped by its own signal": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "crashes the interpreter": "import ctypes; ctypes.string_at(0)",
    "prints that all is well": "print('passed', 'OK', '0 failed', flush=True)\ndef add(a, b): return 0",
    # judging itself
    "overrides AssertionError": (
        "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n"
        "AssertionError = Quiet\ndef add(a, b): return 0"
    ),
    "equals everything": (
        "class Any(int):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    __hash__ = int.__hash__\ndef add(a, b): return Any(0)"
    ),
    "an object that equals everything": (
        "class Any:\n    def __eq__(self, other): return True\n    def __bool__(self): return True\n"
        "def add(a, b): return Any()"
    ),
    "is a class that is itself the answer": (
        "class Meta(type):\n    def __eq__(cls, other): return True\n    __hash__ = type.__hash__\n"
        "class add(metaclass=Meta):\n    def __new__(cls, *args): return cls"
    ),
    "replaces the built-ins": (
        "import builtins\nfor n in ('abs', 'all', 'any', 'isinstance', 'len', 'print', 'exec', 'compile'):\n"
        "    setattr(builtins, n, lambda *a, **k: True)\ndef add(a, b): return 0"
    ),
    "defines the tests' names": (
        "METADATA = {{}}\ndef check(candidate): return True\ncandidate = lambda *a: 5\ndef add(a, b): return 0"
    ),
    "compiles without assertions": (
        "import builtins\nreal = compile\n"
        "builtins.compile = lambda *a, **k: real(*a, **{{**k, 'optimize': 2}})\ndef add(a, b): return 0"
    ),
    "traces and skips the assertions": (
        "import sys\ndef trace(frame, event, arg):\n    frame.f_trace_opcodes = False\n    return trace\n"
        "sys.settrace(trace)\ndef add(a, b): return 0"
    ),
    "reads the tests in the caller's frames": spy(
        "import gc\n"
        "texts = [o for o in gc.get_objects() if isinstance(o, dict)]\n"
        "frame = sys._getframe()\n"
        "while frame:\n    texts.append(frame.f_locals); frame = frame.f_back\n"
        "seen = any(isinstance(v, str) and 'add(2, 3) == ' + '5' in v for d in texts for v in list(d.values()))"
    ),
    "scans its own memory for the tests": spy(
        "needle = b'add(2, 3) == ' + str(5).encode()\n"
        "for line in open('/proc/self/maps'):\n"
        "    low, high = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "    if 'rw' in line:\n"
        "        with open('/proc/self/mem', 'rb') as memory:\n"
        "            memory.seek(low); seen = seen or needle in memory.read(high - low)"
    ),
    "forges the conversation": (
        "import os, json\nfor fd in range(3, 64):\n"
        "    for told in (dict(reason=None, detail=''), dict(names=dict(add='')), dict(value=True)):\n"
        "        data = json.dumps(told).encode()\n"
        "        try: os.write(fd, len(data).to_bytes(4, 'big') + data)\n        except OSError: pass\n"
        "def add(a, b): return 0"
    ),
    "answers with rubbish": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 4096)\n    except OSError: pass"
    ),
    "answers with a bottomless value": (
        "x = []\nfor _ in range(100000): x = [x]\ndef add(a, b): return x"
    ),
    "answers with a circular value": "x = []; x.append(x)\ndef add(a, b): return x",
    "answers with a huge value": "def add(a, b): return 'x' * (400 * 2**20)",
    "closes every descriptor": "import os; os.closerange(0, 64)\ndef add(a, b): return 0",
    "walks to the fork server's functions": (
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    if name.startswith('inside'):\n        for key in list(vars(module)):\n"
        "            if callable(vars(module)[key]): setattr(module, key, lambda *a, **k: None)\n"
        "def add(a, b): return 0"
    ),
    # using things up
    "fork bomb": "import os\nwhile True: os.fork()",
    "fork bomb that ignores errors": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    ),
    "thread bomb": (
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()"
    ),
    "allocates 10 GB": "x = bytearray(10 * 10**9)",
    "allocates 10 GB piece by piece": "x = []\nwhile True: x.append(bytearray(10**7))",
    "maps 10 GB": "import mmap; x = mmap.mmap(-1, 10 * 10**9)",
    "endless loop": "while True: pass",
    "endless loop when called": "def add(a, b):\n    while True: pass",
    "sleeps": "import time; time.sleep(1000)",
    "endless output": "import sys\nwhile True: sys.stdout.write('x' * 65536); sys.stderr.write('y' * 65536)",
    "fills the disk": (
        "import os\ni = 0\nwhile True:\n    try:\n        with open(f'f{{i}}', 'wb') as f:\n"
        "            while True: f.write(b'x' * 2**20)\n    except OSError: i += 1"
    ),
    "exhausts file descriptors": "import os\nwhile True: os.dup(0)",
    "exhausts file descriptors, quietly": (
        "import os\ntry:\n    while True: os.pipe()\nexcept OSError: pass\ndef add(a, b): return 0"
    ),
    "recursion without end": "import sys; sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
    "a number without end": "x = 9 ** 9 ** 9",
    "a pattern without end": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
    "source that the parser chokes on": "x = " + "(" * 100000,
    # not letting go
    "catches SIGTERM and the like": (
        "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass"
    ),
    "swallows every exception": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "becomes a daemon": spy("seen = os.fork() >= 0\nos.setsid()"),
    "raises its own limits": spy(
        "import resource\nfor w in (resource.RLIMIT_CPU, resource.RLIMIT_AS):\n"
        "    resource.setrlimit(w, (resource.RLIM_INFINITY,) * 2)\n    seen = True"
    ),
    # looking around
    "reads the environment": spy("seen = os.environ.get('REDONE_TEST_SECRET') or dict(os.environ)"),
    "reads the environment of others": spy(
        "seen = any(b'=' in open(f'/proc/{{p}}/environ', 'rb').read() for p in ({pid}, os.getppid()))"
    ),
    "reads the home folder": spy(
        "home = {home!r}\n"
        "seen = [n for n in os.listdir(home) if not sys.prefix.startswith(f'{{home}}/{{n}}')]"
    ),
    "reads /etc/passwd": spy("seen = open('/etc/passwd').read()"),
    "reads a file outside": spy("seen = open({secret!r}).read()"),
    "reads an inherited descriptor": spy(
        "for fd in range(3, 64):\n    try: seen = seen or b'secret' in os.pread(fd, 4096, 0)\n    except OSError: pass"
    ),
    # reaching out
    "writes outside": spy("open({folder!r} + '/written', 'w').write('x'); seen = True"),
    "deletes outside": spy("os.unlink({secret!r}); seen = True"),
    "changes rights outside": spy("os.chmod({secret!r}, 0); seen = True"),
    "links to the outside": spy("os.symlink({secret!r}, 'link'); seen = open('link').read()"),
    "overwrites Python": spy("open(os.__file__, 'a').write('x'); seen = True"),
    "connects to this machine": spy(
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2); seen = True"
    ),
    "connects to the network": spy(
        "import socket\ns = socket.socket(); s.settimeout(1); s.connect(('1.1.1.1', 53)); seen = True"
    ),
    "resolves a name": spy("import socket\nseen = socket.getaddrinfo('example.org', 80)"),
    "listens": spy(
        "import socket\ns = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen(); seen = True"
    ),
    "kills its parent": spy("import signal\nos.kill(os.getppid(), signal.SIGKILL); seen = True"),
    "kills the harness": spy("import signal\nos.kill({pid}, signal.SIGKILL); seen = True"),
    "kills everybody": spy("import signal\nos.kill(-1, signal.SIGKILL); seen = True"),
    "limits its parent": spy(
        "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0)); seen = True"
    ),
    "runs a shell": spy("seen = os.system('true') == 0"),
    "becomes a shell": "import os; os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
    "runs a program by subprocess": spy(
        "import subprocess\nseen = subprocess.run(['/bin/true']).returncode == 0"
    ),
    "spawns a Python by multiprocessing": spy(
        "import multiprocessing as m\np = m.get_context('spawn').Process(target=print)\np.start(); seen = True"
    ),
    "traces its parent": spy(
        "import ctypes\nseen = ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0"
    ),
    "becomes root": spy("os.setuid(0) if os.getuid() else 1 / 0; seen = True"),
    "makes namespaces": spy("import ctypes\nseen = ctypes.CDLL(None).unshare(0x10000000) == 0"),
    "mounts": spy(
        "import ctypes\nseen = ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0"
    ),
    "leaves through chroot": spy("os.chroot('.'); os.chdir('../../..'); seen = True"),
    "makes a device": spy(
        "import stat\nos.mknod('disk', stat.S_IFBLK | 0o666, os.makedev(254, 0)); seen = True"
    ),
}
