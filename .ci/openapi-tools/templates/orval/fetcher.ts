export const fetcher = async <T>(url: string, options: RequestInit): Promise<T> => {
  const response = await fetch(url, options);
  const text = await response.text();
  return { status: response.status, data: text ? JSON.parse(text) : undefined, headers: response.headers } as T;
};
