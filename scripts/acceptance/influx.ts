import type { Installation } from '../installation/installation.js';

/** Windows close 2.5 s after their time, and are written within a second or two. */
export const WINDOWS_DEADLINE_MS = 30_000;

interface Answer {
  readonly results?: readonly {
    readonly series?: readonly {
      readonly columns: readonly string[];
      readonly values: readonly (readonly (string | number | null)[])[];
    }[];
    readonly error?: string;
  }[];
}

/** Sums of some fields over this installation's channel windows, by InfluxDB's own query interface. */
export const windowSums = async <F extends string>(
  { environment, id }: Installation,
  fields: readonly F[],
): Promise<Readonly<Record<F, number>>> => {
  const { url, token, bucket } = environment.influx;
  const [db = '', rp] = bucket.split('/');
  const sums = fields.map((field) => `sum("${field}") as "${field}"`).join(', ');
  const parameters = new URLSearchParams({
    db,
    ...(rp !== undefined && { rp }),
    q: `select ${sums} from channel_window where provider =~ /-${id}$/`,
  });
  const response = await fetch(`${url}/query?${parameters.toString()}`, {
    headers: { authorization: `Token ${token}` },
  });
  const { results = [] } = (await response.json()) as Answer;
  const { columns = [], values = [] } = results[0]?.series?.[0] ?? {};
  return Object.fromEntries(
    fields.map((field) => [field, Number(values[0]?.[columns.indexOf(field)] ?? 0)]),
  ) as Record<F, number>;
};
