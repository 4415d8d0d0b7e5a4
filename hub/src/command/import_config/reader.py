"""Runs a jupyterhub_config.py with a stand-in for traitlets, and tells what it set, on which line, as JSON.

Needs neither JupyterHub nor what the file imports: modules that are not installed are stood in for, too.
Usage: reader.py FILE ENV_KEEP, the latter as JSON. The last thing on standard output is the JSON; what the file itself prints goes to standard error.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
import types

CONFIG = os.path.abspath(sys.argv[1])
settings, files = {}, [CONFIG]

# Lists that are not empty before a file adds to them: Specola's own defaults, which contain JupyterHub's.
DEFAULTS = {
    "cmd": ["jupyterhub-singleuser"],
    "env_keep": json.loads(sys.argv[2]),
}

# Exceptions whose text names a thing of the file or of the machine; that of others may hold a secret.
TELLING = (AttributeError, ImportError, KeyError, NameError, OSError, SyntaxError)


def line_of_config():
    """The line that is being run, of the innermost frame that belongs to a configuration file."""
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename in files:
            name = os.path.basename(frame.f_code.co_filename) if frame.f_code.co_filename != CONFIG else None
            return {"line": frame.f_lineno, "file": name}
        frame = frame.f_back
    return {"line": 0, "file": None}


class Unset:
    """A trait that was read before it was set: traitlets lets a default be added to."""

    def __init__(self, section, name):
        self.__dict__.update(_section=section, _name=name)

    def _become(self, value):
        self._section[self._name] = value
        return value

    def update(self, *more, **named):
        self._become({}).update(*more, **named)

    def _default(self):
        return list(DEFAULTS.get(self._name, []))

    def append(self, item):
        self._become(self._default()).append(item)

    def extend(self, items):
        self._become(self._default()).extend(items)

    def insert(self, index, item):
        self._become(self._default()).insert(index, item)

    def prepend(self, items):
        self._become(list(items) + self._default())

    def add(self, item):
        self._become(set()).add(item)

    def setdefault(self, key, value=None):
        return self._become({}).setdefault(key, value)

    def __setitem__(self, key, value):
        self._become({})[key] = value

    def __getitem__(self, key):
        return self._become({}).setdefault(key, {})

    def __contains__(self, item):
        return False

    def __iter__(self):
        return iter(self._default())

    def __len__(self):
        return len(self._default())

    def __bool__(self):
        return False

    def __ior__(self, other):
        return other

    def __iadd__(self, other):
        return self._default() + list(other) if isinstance(other, (list, tuple)) else other

    __or__, __add__ = __ior__, __iadd__

    def get(self, key, default=None):
        return default


class Section(dict):
    """`c.Spawner`: what is set on it is kept with its line."""

    def __init__(self, name):
        super().__init__()
        self.__dict__["_name"] = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __missing__(self, name):
        return Unset(self, name)

    def __setitem__(self, name, value):
        if isinstance(value, Unset):
            return
        super().__setitem__(name, value)
        settings[self.__dict__["_name"], name] = {**line_of_config(), "value": value}

    def __setattr__(self, name, value):
        self[name] = value

    def update(self, *more, **named):
        for name, value in dict(*more, **named).items():
            self[name] = value


class Config(dict):
    """`c`."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __missing__(self, name):
        self[name] = Section(name)
        return self[name]


config = Config()


# What docker-py's types are called with, where no names are said. They are tables, as they are with docker-py installed.
POSITIONS = {"DriverConfig": ("name", "options"), "Mount": ("target", "source", "type", "read_only")}


class StandIn(type):
    """Classes of modules that are not installed; any attribute of them is another one."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name, (Thing,), {"__module__": f"{cls.__module__}.{cls.__name__}"})


class Thing(metaclass=StandIn):
    def __init__(self, *arguments, **named):
        names = POSITIONS.get(type(self).__name__, ())
        self.__dict__["_said"] = {**dict(zip(names, arguments)), **named}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Thing()

    def __call__(self, *arguments, **named):
        return Thing()

    def __iter__(self):
        return iter(())


class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name, (Thing,), {"__module__": self.__name__})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked last, when nobody else has the module. What a library tries to import and can do without stays missing."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {*stood_in, "traitlets"} and not asked_by_config():
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        stood_in.add(module.__name__)


stood_in = set()


def asked_by_config():
    """Whether it is a configuration file that imports."""
    frame = sys._getframe(2)
    while frame and (frame.f_code.co_filename.startswith("<frozen") or frame.f_code.co_filename == IMPORTLIB):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename in files


IMPORTLIB = importlib.__file__


def load_subconfig(name, path=None):
    file = os.path.join(os.path.dirname(CONFIG) if path is None else path, name)
    files.append(os.path.abspath(file))
    run(os.path.abspath(file))


def run(file):
    with open(file, encoding="utf-8") as source:
        code = compile(source.read(), file, "exec")
    space = {"__name__": "__main__", "__file__": file, "c": config, "get_config": lambda: config}
    exec(code, space | {"load_subconfig": load_subconfig})


def described(value):
    """A value as JSON that tells what is no data."""
    found = []
    plain = data(value, found)
    return {"problem": found[0]} if found else {"plain": plain}


def data(value, found):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Unset):
        found.append("a default of JupyterHub's, which is not known here")
    elif isinstance(value, (bytes, bytearray)):
        return value.hex()
    elif isinstance(value, os.PathLike):
        return os.fspath(value)
    elif isinstance(value, dict):
        return {str(key): data(item, found) for key, item in value.items()}
    elif isinstance(value, (set, frozenset)):
        return sorted((data(item, found) for item in value), key=str)
    elif isinstance(value, (list, tuple)):
        return [data(item, found) for item in value]
    elif isinstance(value, Thing) and f"{type(value).__module__}.".startswith("docker.types."):
        return data(value.__dict__["_said"], found)
    elif isinstance(value, type):
        return class_of(value, found)
    elif callable(value) and not isinstance(value, Thing):
        found.append(f"the function {getattr(value, '__name__', 'without a name')}")
    else:
        found.append(f"an object of the class {type(value).__name__}")
    return None


def class_of(value, found):
    """A class of a library by its name; one made in the file cannot be carried."""
    if value.__module__ == "__main__":
        bases = ", ".join(f"{base.__module__}.{base.__name__}" for base in value.__bases__)
        found.append(f"the class {value.__name__}, made here from {bases}")
    return f"{value.__module__}.{value.__name__}"


OS_FILES = (os.__file__, "<frozen os>")


def told_of(error):
    """An exception in words without secrets."""
    kind = type(error).__name__
    if not isinstance(error, TELLING):
        return kind
    if isinstance(error, KeyError) and traceback.extract_tb(error.__traceback__)[-1].filename in OS_FILES:
        return f"{kind}: {error}: the variable is not set here; set it as it is for JupyterHub"
    return f"{kind}: {error}"


def main():
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.meta_path.append(Finder())
    for name in ("traitlets", "traitlets.config"):
        sys.modules[name] = Module(name)
        sys.modules[name].get_config = lambda: config
        sys.modules[name].__path__ = []
    os.chdir(os.path.dirname(CONFIG))
    sys.path.insert(0, os.path.dirname(CONFIG))
    failure = None
    try:
        run(CONFIG)
    except SystemExit:
        pass
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        line = frames[-1].lineno if frames else getattr(error, "lineno", 0)
        failure = {"line": line or 0, "what": told_of(error)[:500]}
    told = [
        {"class": section, "trait": name, "line": entry["line"], "file": entry["file"], **described(entry["value"])}
        for (section, name), entry in settings.items()
    ]
    json.dump({"settings": told, "failure": failure, "stood_in": sorted(stood_in)}, output)
    output.flush()


main()
