"""Wavefront .obj and .mtl: a square of two triangles in many spellings."""

import io

import numpy as np
from PIL import Image

from tests.formats.examples import Example

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
V = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
VT = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
F = "f 1 2 3\nf 1 3 4\n"
FT = "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
NEW = "newmtl a\nmap_Kd q.png\n"


def png(colour):
    out = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), colour, np.uint8)).save(out, format="PNG")
    return out.getvalue()


RED, BLUE = png((255, 0, 0)), png((0, 0, 255))


def square(scan):
    np.testing.assert_array_equal(scan.vertices, SQUARE)
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3]])
    assert scan.uv is None and scan.texture is None and scan.colours is None


def with_uv(scan, uv=CORNERS):
    np.testing.assert_array_equal(scan.vertices[scan.faces], SQUARE[[[0, 1, 2], [0, 2, 3]]])
    np.testing.assert_array_equal(scan.uv[scan.faces], np.asarray(uv)[[[0, 1, 2], [0, 2, 3]]])


def red(scan, uv=CORNERS, wrap=("repeat", "repeat")):
    with_uv(scan, uv)
    assert scan.wrap == wrap
    np.testing.assert_array_equal(scan.texture, np.full((4, 4, 3), (255, 0, 0)))


def bare(scan):
    with_uv(scan)
    assert scan.texture is None


def half(scan):
    """One of the two triangles has the red picture."""
    np.testing.assert_array_equal(scan.texture, np.full((4, 4, 3), (255, 0, 0)))
    assert np.isfinite(scan.uv[scan.faces[0]]).all() and np.isnan(scan.uv[scan.faces[1]]).all()


def two_pictures(scan):
    for face, colour in zip(scan.faces, ((255, 0, 0), (0, 0, 255)), strict=True):
        u, v = scan.uv[face].mean(axis=0)
        height, width = scan.texture.shape[:2]
        np.testing.assert_array_equal(scan.texture[int((1 - v) * height), int(u * width)], colour)


def coloured(rows):
    def check(scan):
        np.testing.assert_array_equal(scan.vertices, SQUARE)
        np.testing.assert_array_equal(scan.colours, np.array(rows, np.float32))

    return check


def folded(scan):
    """An arrow head: its area is that of the polygon, whichever way it is cut."""
    corner = scan.vertices[scan.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert (normal[:, 2] > 0).all()
    np.testing.assert_allclose(normal[:, 2].sum() / 2, 4)


def plain(text, check=square):
    return Example("a.obj", text if isinstance(text, bytes) else text.encode(), check=check)


def dressed(mtl=NEW, head="mtllib m.mtl\nusemtl a\n", check=red, faces=FT, library="m.mtl", **beside):
    files = {"q.png": RED, "r.png": BLUE, library: mtl if isinstance(mtl, bytes) else mtl.encode()}
    return Example("a.obj", (head + V + VT + faces).encode(), files | beside.get("more", {}), check)


N = float("nan")
PENTAGON = "v 0 0 0\nv 4 0 0\nv 4 4 0\nv 2 1 0\nv 0 4 0\nf 1 2 3 4 5\n"


def pentagon(scan):
    corner = scan.vertices[scan.faces]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2] / 2
    assert (area > 0).all()
    np.testing.assert_allclose(area.sum(), 10)


def crossed(scan):
    assert len(scan.vertices) == 4 and len(scan.faces) == 2


STATEMENTS = {
    "v x y z": plain(V + F),
    "v x y z w": plain(V.replace("\n", " 1\n") + F),
    "v x y z w, w other than 1": plain(V.replace("v 1 1 0", "v 1 1 0 0.5") + F),
    "v x y z r g b": plain(V.replace("\n", " 1 0 0.5\n") + F, coloured([[255, 0, 127.5]] * 4)),
    "v x y z r g b in 0 ... 255": plain(V.replace("\n", " 255 0 51\n") + F, coloured([[255, 0, 51]] * 4)),
    "v x y z w r g b": plain(V.replace("\n", " 1 0 1 0\n") + F, coloured([[0, 255, 0]] * 4)),
    "v x y z r g b a": plain(V.replace("\n", " 0 1 0 1\n") + F, coloured([[0, 255, 0]] * 4)),
    "v with seven numbers that could be either": plain(V.replace("\n", " 1 0 0 1\n") + F),
    "colours of some v": plain(
        V.replace("v 1 1 0", "v 1 1 0 0 0 1") + F, coloured([[N] * 3, [N] * 3, [0, 0, 255], [N] * 3])
    ),
    "colours below 0 or above 255": plain(
        V.replace("\n", " 2 2 2\n").replace("1 1 0 2", "1 1 0 300") + F, coloured([[2] * 3, [2] * 3, [N] * 3, [2] * 3])
    ),
    "v with another count of numbers": plain("v 0 0\n" + V + F),
    "vt u v": plain(V + VT + FT, with_uv),
    "vt u v w": plain(V + VT.replace("\n", " 0.5\n") + FT, with_uv),
    "vt u": plain(
        V + "vt 0\nvt 0.25\nvt 0.5\nvt 1\n" + FT, lambda scan: with_uv(scan, [[0, 0], [0.25, 0], [0.5, 0], [1, 0]])
    ),
    "vt of 1, 2 and 3 numbers": plain(V + "vt 0\nvt 1 0 0\nvt 1 1\nvt 0 1\n" + FT, with_uv),
    "vt without numbers": plain(V + "vt\n" + F),
    "vt that no face names": plain(V + VT + F),
    "vn": plain(V + "vn 0 0 1\n" + F.replace("1", "1//1").replace(" 2", " 2//1")),
    "f a b c": plain(V + F),
    "f a/b": plain(V + VT + FT, with_uv),
    "f a//c": plain(V + "vn 0 0 1\nf 1//1 2//1 3//1\nf 1//1 3//1 4//1\n"),
    "f a/b/c": plain(V + VT + "vn 0 0 1\nf 1/1/1 2/2/1 3/3/1\nf 1/1/1 3/3/1 4/4/1\n", with_uv),
    "f a/ and a//": plain(V + "f 1/ 2/ 3/\nf 1// 3// 4//\n"),
    "f of several forms": plain(
        V + VT + "f 1/1 2/2 3/3\nf 1/1 3 4/4/1\n",
        lambda scan: np.testing.assert_array_equal(scan.uv[scan.faces[1]], [[0, 0], [N, N], [0, 1]]),
    ),
    "f with negative indices": plain(V + VT + "f -4/-4 -3/-3 -2/-2\nf -4/-4 -2/-2 -1/-1\n", with_uv),
    "f before its v": plain(F + V),
    "f with a plus sign, leading zeros": plain(V + "f +1 002 3\nf 1 +03 4\n"),
    "f with four corners": plain(V + "f 1 2 3 4\n"),
    "f with four corners that is not convex": plain("v 2 -1 0\nv 0 2 0\nv -2 -1 0\nv 0 0 0\nf 1 2 3 4\n", folded),
    "f with more corners that is not convex": plain(PENTAGON, pentagon),
    "f that crosses itself": plain("v 0 0 0\nv 4 0 0\nv 1 1 0\nv 1 -3 0\nf 1 2 3 4\n", crossed),
    "fo": plain(V + F.replace("f ", "fo ")),
    "f with fewer than three corners": plain(V + F + "f 1 2\n"),
    "f 0": plain(V + "f 0 1 2\n"),
    "f with an index too large": plain(V + F + "f 1 2 5\n"),
    "f with an index before the first": plain(V + F + "f -5 1 2\n"),
    "f with a vt that is not there": plain(V + VT + "f 1/1 2/2 3/5\n"),
    "f with an index beyond 32 bits": plain(V + "f 1 2 99999999999\n"),
    "f a/b/c/d": plain(V + VT + "f 1/1/1/1 2/2/2/2 3/3/3/3\n"),
    "f with a word that is no index": plain(V + "f 1 2 3.0\n"),
    "no f": plain(V + "p 1 2 3\n"),
    "p and l": plain(V + F + "p 1 2\nl 1 2 3\nl 3 4\n"),
    "vp, cstype, deg, bmat, step, curv, curv2, surf, parm, trim, hole, scrv, sp, end, con": plain(
        V + F + "vp 0 0\ncstype bspline\ndeg 1 1\nbmat u 1 0\nstep 1 1\ncurv 0 1 1 2\n"
        "curv2 1 1\nsurf 0 1 0 1 1 2 \\\n4 3\n"
        "parm u 0 0 1 1\nparm v 0 0 1 1\ntrim 0 1 1\nhole 0 1 1\nscrv 0 1 1\nsp 1\nend\ncon 1 0 1 1 2 0 1 1\n"
    ),
    "bzp, bsp, cdc, cdp, res": plain(V + F + "bzp 1 2 3 4\nbsp 1 2 3 4\ncdc 1 2 3\ncdp 1 2 3\nres 2 2\n"),
    "g, o, s, mg": plain("o head\ng face skin\ns 1\nmg 1 0.5\n" + V + "s off\ng\n" + F),
    "bevel, c_interp, d_interp, lod, shadow_obj, trace_obj, ctech, stech": plain(
        V + "bevel on\nc_interp on\nd_interp off\nlod 3\nshadow_obj s.obj\ntrace_obj t.obj\nctech cparm 1\n"
        "stech cparma 1 1\n" + F
    ),
    "usemap, maplib": plain("maplib maps.map\nusemap skin\n" + V + F),
    "usemap off": plain("usemap off\n" + V + F),
    "call": plain("call part.obj\n" + V + F),
    "csh": plain("csh -touch x\n" + V + F),
    "unknown statements": plain("vc 1 0 0\n" + V + F + "qq 1\nqq 2\n"),
    "keywords in upper case": plain(V.upper() + F.upper()),
}

SPELLINGS = {
    "numbers like 1. .5 +1 1e0 1E+0 0001": plain("v 0. .0 -0\nv +1 0e3 00\nv 1e0 1E+0 0\nv 0 10e-1 0\n" + F),
    "nan, inf, 1.#QNAN, -1.#IND, 1.#INF, -nan(ind)": plain(
        V + "v nan -nan(ind) 1.#QNAN\nv inf -1.#IND 1.#INF\n" + F,
        lambda scan: np.testing.assert_array_equal(scan.vertices[4:], [[N] * 3, [np.inf, N, np.inf]]),
    ),
    "decimal commas": plain("v 0,5 0 0\n" + V + F),
    "1d-3, 0x10, 1.#J and other words for numbers": plain("v 1d-3 0 0\n" + V + F),
    "numbers of more than float32": plain(
        V + "v 0.1234567890123456789 1e400 1e-400\n" + F,
        lambda scan: np.testing.assert_array_equal(scan.vertices[4], np.float32([0.12345679, np.inf, 0])),
    ),
    "far from the origin": plain(
        V.replace("v 0", "v 500000").replace("v 1", "v 500001") + F,
        lambda scan: np.testing.assert_array_equal(scan.vertices[:, 0] - scan.placement[0, 3], 500000 + SQUARE[:, 0]),
    ),
    "comments": plain("# a head\n" + V.replace("\n", " # 1 2 3\n") + "  # f 9 9 9\n" + F.replace("\n", " #tip\n")),
    "a # within a number": plain(V.replace("v 1 1 0", "v 1 1 0#tip") + F),
    "#MRGB": plain(V + F + "#MRGB ffff0000ffff0000ffff0000ffff0000\n"),
    "a backslash joins lines of numbers": plain(V.replace("v 1 1 0", "v 1 \\\n1\\\r\n0") + "f 1 2 \\\n 3 \\\n4\n"),
    "a backslash at the end of a comment": plain("# C:\\scans\\\n" + V + F),
    "a backslash at the end of a name": plain("g C:\\scans\\\n" + V + "o C:\\x\\\n" + F),
    "a backslash joins lines of names": plain("g left \\\nright \\\nmiddle\n" + V + F),
    "LF, CR LF, CR line ends": plain((V + F).replace("\n", "\r", 3).replace("\n", "\r\n", 2)),
    "byte order mark": plain(b"\xef\xbb\xbf" + (V + F).encode()),
    "UTF-16, NUL bytes": plain((V + F).encode("utf-16")),
    "blanks, tabs, blank lines, no last line end": plain("\n\n \t v\t0  0 \t0 \n" + V[8:] + "\n\x0c\n" + F.rstrip()),
}

SECOND = "newmtl b\nmap_Kd r.png\n"
LIBRARIES = {
    "mtllib, usemtl": dressed(),
    "mtllib with blanks in its name": dressed(head="mtllib my mat.mtl\nusemtl a\n", library="my mat.mtl"),
    "mtllib in quotes": dressed(head='mtllib "my mat.mtl"\nusemtl a\n', library="my mat.mtl"),
    "mtllib with # in its name": dressed(head="mtllib m #1.mtl # skin\nusemtl a\n", library="m #1.mtl"),
    "mtllib with several names": dressed(head="mtllib n.mtl m.mtl\nusemtl a\n", more={"n.mtl": b"newmtl c\n"}),
    "several mtllib": dressed(
        head="mtllib n.mtl\nmtllib m.mtl\nmtllib m.mtl\nusemtl a\n", more={"n.mtl": b"newmtl c\n"}
    ),
    "mtllib continued by a backslash": dressed(
        head="mtllib n.mtl \\\nm.mtl\nusemtl a\n", more={"n.mtl": b"newmtl c\n"}
    ),
    "mtllib in another case": dressed(head="mtllib M.MTL\nusemtl a\n"),
    "mtllib with a path": dressed(head="mtllib C:\\scans\\m.mtl\nusemtl a\n"),
    "mtllib in a folder": dressed(
        "newmtl a\nmap_Kd q.png\n",
        head="mtllib ./sub/m.mtl\nusemtl a\n",
        library="sub/m.mtl",
        more={"q.png": BLUE, "sub/q.png": RED},
    ),
    "a missing mtllib": dressed(head="mtllib none.mtl\nusemtl a\n", check=bare),
    "a missing mtllib, but a .mtl of the name of the .obj": dressed(
        head="mtllib none.mtl\nusemtl a\n", library="a.mtl"
    ),
    "no mtllib, but a .mtl of the name of the .obj": dressed(head="usemtl a\n", library="a.mtl"),
    "usemtl without mtllib": dressed(head="usemtl a\n", check=bare),
    "usemtl of an unknown name": dressed(NEW + SECOND, head="mtllib m.mtl\nusemtl z\n", check=bare),
    "usemtl of an unknown name, one picture in the library": dressed(head="mtllib m.mtl\nusemtl z\n"),
    "no usemtl, one picture in the library": dressed("newmtl c\n" + NEW, head="mtllib m.mtl\n"),
    "no usemtl, several pictures in the library": dressed(NEW + SECOND, head="mtllib m.mtl\n"),
    "usemtl between faces": dressed(NEW + SECOND, faces=FT.replace("f 1/1 3", "usemtl b\nf 1/1 3"), check=two_pictures),
    "faces without a picture beside faces with one": dressed(
        NEW + "newmtl c\nKd 1 1 1\n", faces=FT.replace("f 1/1 3", "usemtl c\nf 1/1 3"), check=half
    ),
    "faces before the first usemtl": dressed(
        head="mtllib m.mtl\n",
        faces="f 1/1 3/3 4/4\nusemtl a\nf 1/1 2/2 3/3\n",
        check=lambda scan: half(type(scan)(scan.vertices, scan.faces[::-1].copy(), scan.uv, scan.texture)),
    ),
    "newmtl with blanks and # in its name": dressed(
        "newmtl Material #25\nmap_Kd q.png\nnewmtl Material #26\nmap_Kd r.png\n",
        head="mtllib m.mtl\nusemtl Material #25\n",
    ),
    "a comment after a name": dressed("newmtl a\nmap_Kd q.png # skin\n", head="mtllib m.mtl\nusemtl a # skin\n"),
    "several newmtl of one name": dressed(NEW + "newmtl a\nmap_Kd r.png\n"),
    "a picture without vt": Example(
        "a.obj", ("mtllib m.mtl\nusemtl a\n" + V + F).encode(), {"m.mtl": NEW.encode(), "q.png": RED}, square
    ),
    "a missing picture": dressed("newmtl a\nmap_Kd none.png\n", check=bare),
}


def maps(line, check=red, **more):
    return dressed(f"newmtl a\n{line}\n", check=check, **more)


MATERIALS = {
    "map_Kd": maps("map_Kd q.png"),
    "map_Kd in any case": maps("\tMAP_KD q.png"),
    "map_Kd with blanks, quotes, backslashes": maps('map_Kd "C:\\\\my scans\\a face.png"', more={"a face.png": RED}),
    "map_Kd -s, -o": maps(
        "map_Kd -s 2 0.5 1 -o 0.25 0 0 q.png", lambda scan: red(scan, CORNERS * [2, 0.5] + [0.25, 0])
    ),
    "map_Kd -clamp on": maps("map_Kd -clamp on q.png", lambda scan: red(scan, wrap=("clamp", "clamp"))),
    "map_Kd -blendu, -blendv, -boost, -bm, -texres, -type, -clamp off": maps(
        "map_Kd -blendu on -blendv off -boost 1.5 -bm 1 -texres 512 "
        "-type cube_top -clamp off -s 1 1 1 -o 0 0 0 -mm 0 1 q.png"
    ),
    "map_Kd -mm, -t, -cc, -imfchan": maps("map_Kd -mm 0.5 1 -t 1 1 1 -cc on -imfchan r q.png"),
    "several map_Kd": maps("map_Kd q.png\nmap_Kd r.png"),
    "map_Kd with options after its name": maps(
        "map_Kd q.png -clamp on", lambda scan: red(scan, wrap=("clamp", "clamp"))
    ),
    "map_Kd without a file": maps("map_Kd", bare),
    "map_Ka, map_Ke without map_Kd": maps("map_Ka q.png"),
    "map_Kd beside map_Ka, map_Ks, map_d, bump, norm, refl": maps(
        "map_Ka r.png\nmap_Ks r.png\nmap_Ns r.png\nmap_d r.png\n"
        "map_Bump -bm 1 r.png\nnorm r.png\nrefl -type sphere r.png\nmap_Kd q.png"
    ),
    "Ka, Ks, Ke, Ns, Ni, d, Tr, Tf, illum, sharpness, Pr, Pm, aniso": maps(
        "Ka 0 0 0\nKs 1 1 1\nKe 0 0 0\nNs 10\nNi 1.5\nd 1.0\nTr 0\n"
        "Tf 1 1 1\nillum 2\nsharpness 60\nPr 1\nPm 0\naniso 0\nmap_Kd q.png"
    ),
    "grey Kd with a picture": maps("Kd 0.8 0.8 0.8\nmap_Kd q.png"),
    "coloured Kd with a picture": maps("Kd 1 0.5 0.5\nmap_Kd q.png"),
    "Kd of materials without a picture": Example(
        "a.obj",
        ("mtllib m.mtl\nusemtl a\n" + V + "f 1 2 3\nusemtl b\nf 1 3 4\n").encode(),
        {"m.mtl": b"newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 0 1\n"},
        square,
    ),
    "one grey Kd without a picture": Example(
        "a.obj", ("mtllib m.mtl\nusemtl a\n" + V + F).encode(), {"m.mtl": b"newmtl a\nKd 0.8 0.8 0.8\n"}, square
    ),
    "Kd spectral, Kd xyz": maps("Kd spectral skin.rfl 1\nmap_Kd q.png"),
    "disp, decal": maps("disp r.png\ndecal r.png\nmap_Kd q.png"),
    "unknown statements of a library": maps("map_Kd q.png\nfoo 1"),
    "statements of a library before newmtl": dressed("map_Kd r.png\n" + NEW),
    "comments, CR LF, byte order mark of a library": dressed(
        b"\xef\xbb\xbf# skin\r\n\r\nnewmtl a\r\n  # map_Kd r.png\r\n  map_Kd q.png\r\n"
    ),
    "names in Latin-1": Example(
        "a.obj",
        ("mtllib m.mtl\nusemtl Gesicht ä\n" + V + VT + FT).encode("latin-1"),
        {"m.mtl": "newmtl Gesicht ä\nmap_Kd q.png\n".encode("latin-1"), "q.png": RED},
        red,
    ),
    "a library that is empty or no text": dressed(b"\x00\x01", check=bare),
}

EXAMPLES = STATEMENTS | SPELLINGS | LIBRARIES | MATERIALS
