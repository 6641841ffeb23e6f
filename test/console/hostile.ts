/** Text that would be markup, script or a terminal's command where it is not escaped. */
import type { DecisionLine } from '../support/decision-lines.ts';
import { NOW } from './example.ts';

export const hostileTexts: readonly string[] = [
  '<script>window.ran=1</script>',
  '"><img src=x onerror="window.ran=1">',
  "'><svg onload='window.ran=1'>",
  '</title></textarea></pre><script>window.ran=1</script>',
  '<a href="JaVaScRiPt:window.ran=1">x</a>',
  '" autofocus onfocus="window.ran=1" x="',
  '<!--<script>--><iframe srcdoc="<script>parent.ran=1</script>">',
  '{{constructor.constructor("window.ran=1")()}}',
  '&lt;script&gt;window.ran=1&lt;/script&gt;',
  '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\u2066\u2028\u0000\r\n',
  '</script><script>window.ran=1</script>',
];

export function hostileDecision(text: string, index: number): DecisionLine {
  return {
    time: new Date((NOW - index) * 1000).toISOString(),
    subject: text,
    clientId: `client ${text}`,
    license: text,
    plan: text,
    claims: { [text]: text },
    service: text,
    reason: index % 2 === 0 ? 'plan-denied' : 'token-claims',
    detail: text,
    requestId: `${text}${index}`,
    address: text,
  };
}
